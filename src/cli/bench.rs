//! `bench`: what the native engine costs on this machine, with a real voice and the content graph.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffre::engine::content::{ContentEncoder, ContentFrame, MEL_BANDS};
use coffre::engine::latency::{Latency, NATIVE_COMPUTE_LEN, slack_len};
use coffre::engine::native::NativeEngine;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{ENGINE_RATE, Engine as _, EngineError, HOP_LEN, HopParams, Mode};
use coffre::onnx::Runtime;
use coffre::voice::{Library, Voice};
use serde_json::{Map, Value, json};

use super::measure::{percentile, resident_mb, thread_seconds};
use super::{CliError, output, session, signal};

/// Duration of a hop in seconds.
const HOP_SECONDS: f64 = HOP_LEN as f64 / ENGINE_RATE as f64;

/// Block length for which the latency is given.
const BLOCK_LEN: u32 = 256;

/// Hops that are run before measuring, so that caches are warm as they are in a session.
const WARM_UP_HOPS: usize = 200;

/// Options of `bench`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Seconds of audio per measurement
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=3600))]
    seconds: u32,
    /// Name of a voice, a voice file or `none`; default: the first voice of the library
    #[arg(long, value_name = "NAME|FILE|none")]
    voice: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), CliError> {
    let voice = match &options.voice {
        Some(word) => session::voice(word, None)?,
        None => first_voice()?,
    };
    if voice.as_ref().is_some_and(|voice| voice.rvc().is_some()) {
        return Err(CliError::Usage("bench measures the embedded engine; name a voice that is not of RVC".into()));
    }
    let signal = signal::vocal(ENGINE_RATE, options.seconds as f32);
    let mut figures = Map::new();

    let before_mb = resident_mb();
    let mut live = prepare(Mode::Live, voice.as_ref(), &signal)?;
    let one_mb = resident_mb();
    let others = (1..4).map(|_| prepare(Mode::Live, voice.as_ref(), &signal)).collect::<Result<Vec<_>, _>>()?;
    let four_mb = resident_mb();
    drop(others);

    measure("live", &mut live, &signal, &mut figures)?;
    drop(live);
    let mut mix = prepare(Mode::Mix, voice.as_ref(), &signal)?;
    measure("mix", &mut mix, &signal, &mut figures)?;
    drop(mix);
    let since = |mb: Option<f64>| mb.zip(before_mb).map(|(mb, before)| output::rounded(mb - before));
    figures.insert("resident_mb".into(), json!(since(one_mb)));
    figures.insert("resident_four_mb".into(), json!(since(four_mb)));
    figures.insert("content_call_ms".into(), json!(content_call_ms()?));
    let (late, idle_late) = four_at_once(voice.as_ref(), &signal)?;
    figures.insert("four_live_late_hops".into(), json!(late));
    figures.insert("four_idle_late_hops".into(), json!(idle_late));
    figures.insert("seconds".into(), json!(options.seconds));
    figures.insert("voice".into(), json!(voice.as_ref().map(|voice| voice.name())));
    if options.json {
        output::json(&Value::Object(figures));
    } else {
        for (name, value) in &figures {
            output::line(format_args!("{name:<28} {value}"));
        }
    }
    Ok(())
}

/// The first voice of the library; `None` in an empty one.
fn first_voice() -> Result<Option<Arc<Voice>>, CliError> {
    let library = Library::look(&[]);
    let Some(entry) = library.voices().next() else {
        output::complain(format_args!("coffre: there are no voices; measuring without one"));
        return Ok(None);
    };
    entry.load().map(Some).map_err(CliError::voice(&entry.name))
}

/// An engine in the state of a session that has been going on for a while.
fn prepare(mode: Mode, voice: Option<&Arc<Voice>>, signal: &[f32]) -> Result<NativeEngine, CliError> {
    let mut engine = session::engine(mode, true, SourceProfile::population())?;
    engine.set_voice(0, voice.cloned());
    let mut output = [0.0; HOP_LEN];
    for hop in signal.chunks_exact(HOP_LEN).cycle().take(WARM_UP_HOPS) {
        engine.process_hop(&HopParams::default(), hop, &mut output)?;
    }
    Ok(engine)
}

/// Runs the whole signal and adds the figures of the mode.
fn measure(
    mode: &str,
    engine: &mut NativeEngine,
    signal: &[f32],
    figures: &mut Map<String, Value>,
) -> Result<(), CliError> {
    let mut output = [0.0; HOP_LEN];
    let mut hops = Vec::with_capacity(signal.len() / HOP_LEN);
    let mut worst_used = 0.0_f64;
    let start = thread_seconds();
    for hop in signal.chunks_exact(HOP_LEN) {
        let (start, start_used) = (Instant::now(), thread_seconds());
        engine.process_hop(&HopParams::default(), hop, &mut output)?;
        hops.push(start.elapsed().as_secs_f64());
        worst_used = worst_used.max(thread_seconds() - start_used);
    }
    let used = thread_seconds() - start;
    hops.sort_by(f64::total_cmp);
    let latency =
        Latency::new(ENGINE_RATE, engine.latency_len(), slack_len(ENGINE_RATE, BLOCK_LEN, NATIVE_COMPUTE_LEN));
    let mut add = |name: &str, value: f64| {
        figures.insert(format!("native_{mode}_{name}"), json!(output::rounded(value)));
    };
    add("rtf", used / (hops.len() as f64 * HOP_SECONDS));
    add("latency_ms", f64::from(latency.total()) * 1000.0 / f64::from(ENGINE_RATE));
    add("worst_hop", percentile(&hops, 1.0) / HOP_SECONDS);
    // Without what other programs took meanwhile.
    add("worst_hop_cpu", worst_used / HOP_SECONDS);
    add("hop_ms_p50", percentile(&hops, 0.5) * 1e3);
    add("hop_ms_p95", percentile(&hops, 0.95) * 1e3);
    add("hop_ms_p99", percentile(&hops, 0.99) * 1e3);
    add("hop_ms_p999", percentile(&hops, 0.999) * 1e3);
    Ok(())
}

/// Median time of one call of the content graph.
fn content_call_ms() -> Result<f64, CliError> {
    let mut content = ContentEncoder::new(Runtime::get()?, Mode::Live)?;
    let mut frame = ContentFrame::default();
    let mut calls = Vec::new();
    for index in 0..500_u32 {
        let mel = std::array::from_fn::<_, MEL_BANDS, _>(|band| ((index + band as u32) as f32 * 0.37).sin());
        let start = Instant::now();
        content.step(&mel, &mut frame)?;
        calls.push(start.elapsed().as_secs_f64() * 1e3);
    }
    calls.sort_by(f64::total_cmp);
    Ok(output::rounded(percentile(&calls, 0.5)))
}

/// Four live instances on as many threads, each fed a hop every 10 ms: how many hops were not done when the next one was
/// due. Then the same with threads that only burn as much processor time: what is late there is due to the machine
/// (other programs, or a virtual machine's host), and would be with any program.
fn four_at_once(voice: Option<&Arc<Voice>>, signal: &[f32]) -> Result<(usize, usize), CliError> {
    let mut engines = (0..4).map(|_| prepare(Mode::Live, voice, signal)).collect::<Result<Vec<_>, _>>()?;
    let start = thread_seconds();
    let mut output = [0.0; HOP_LEN];
    for hop in signal.chunks_exact(HOP_LEN).take(WARM_UP_HOPS) {
        engines[0].process_hop(&HopParams::default(), hop, &mut output)?;
    }
    let seconds = (thread_seconds() - start) / WARM_UP_HOPS.min(signal.len() / HOP_LEN).max(1) as f64;
    let engine_works = engines.into_iter().map(|mut engine| {
        move |hop: &[f32]| engine.process_hop(&HopParams::default(), hop, &mut [0.0; HOP_LEN]).map(|_| ())
    });
    let late = late_hops(engine_works.collect(), signal)?;
    let idle_works = (0..4).map(|_| {
        move |_: &[f32]| {
            let start = thread_seconds();
            while thread_seconds() - start < seconds {
                std::hint::spin_loop();
            }
            Ok(())
        }
    });
    Ok((late, late_hops(idle_works.collect(), signal)?))
}

/// Runs every work on a thread of its own, called every 10 ms with a hop of `signal`; how many calls ended after the
/// next one was due.
fn late_hops<W>(works: Vec<W>, signal: &[f32]) -> Result<usize, CliError>
where
    W: FnMut(&[f32]) -> Result<(), EngineError> + Send,
{
    let start = Instant::now() + Duration::from_millis(20);
    let run = |mut work: W| -> Result<usize, CliError> {
        let mut late = 0;
        for (index, hop) in signal.chunks_exact(HOP_LEN).enumerate() {
            let due = start + Duration::from_secs_f64(index as f64 * HOP_SECONDS);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            work(hop)?;
            late += usize::from(due.elapsed().as_secs_f64() > HOP_SECONDS);
        }
        Ok(late)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = works.into_iter().map(|work| scope.spawn(move || run(work))).collect();
        let mut late = 0;
        for thread in threads {
            late += thread.join().unwrap_or(Ok(signal.len() / HOP_LEN))?;
        }
        Ok(late)
    })
}
