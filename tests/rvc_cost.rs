//! What RVC voices of full size cost: time to the first sound, speed, memory of many instances, search of an index.
//!
//! Sharing is counted with small graphs; figures need full size, and a quiet machine: name a folder with `rvc_full.pth`
//! (`python tests/rvc/fixtures.py FOLDER`) in `COFFRE_RVC_FULL` and run with `--nocapture`.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/fake.rs"]
mod fake;
#[path = "rvc/hubert.rs"]
mod hubert;
#[path = "rvc/stand_in.rs"]
mod stand_in;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coffre::audio::{Controls, Processor, wet};
use coffre::bridge::link::LinkConfig;
use coffre::bridge::{RunState, Session, Telemetry, VoiceRef};
use coffre::engine::latency::{Latency, slack_len};
use coffre::engine::rvc::retrieval;
use coffre::engine::{EngineId, Mode, Setup};
use coffre::onnx::Graph;
use coffre::voice::import::faiss::RetrievalIndex;
use coffre::voice::import::import_rvc;
use coffre::voice::library::{Library, Origin};
use coffre::voice::{Voice, VoiceId};
use coffre::worker::Instance;
use coffre::worker::backend::NativeBackend;

const RATE: u32 = 48_000;
const BLOCK: usize = 512;

/// What a further instance may take besides the shared graphs and the shared voice: threads, rings, tensors of its own. About 4.5 MB.
const INSTANCE_MB: f64 = 10.0;

/// One test at a time: the memory of the other would be counted as well.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A library with one voice, and the models folder of this process.
struct Place {
    folder: tempfile::TempDir,
    voice: VoiceRef,
    /// From the foreign file to a voice in the folder.
    import: Duration,
}

impl Place {
    fn new(checkpoint: &Path, content: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // SAFETY: the one test that comes here is the only one that reads the environment.
        unsafe { std::env::set_var("COFFRE_MODELS", folder.path()) };
        std::fs::write(folder.path().join("contentvec-768.onnx"), content).expect("written");
        let begin = Instant::now();
        let voice = import_rvc(checkpoint, None).expect("a voice");
        let bytes = Voice::write_rvc(voice.manifest().clone(), voice.rvc().expect("of RVC")).expect("writable");
        std::fs::write(folder.path().join("voice.coffre"), &bytes).expect("written");
        let voice =
            VoiceRef { name: voice.name().to_owned(), id: VoiceId::of(&bytes).to_string(), engine: EngineId::Rvc };
        Self { folder, voice, import: begin.elapsed() }
    }

    /// The voice as the process shares it.
    fn shared(&self) -> Arc<Voice> {
        let library = Library::scan_folders(&[(Origin::User, self.folder.path().to_path_buf())]);
        let entry = library.find(self.voice.id.parse().ok(), &self.voice.name).expect("it is there");
        entry.load().expect("it opens")
    }

    fn play(&self, mode: Mode) -> Playing {
        let session = Arc::new(Session::default());
        session.set_slots([Some(self.voice.clone())]);
        let telemetry = Arc::new(Telemetry::default());
        let backend = NativeBackend::with_folders(vec![(Origin::User, self.folder.path().to_path_buf())]);
        let instance = Instance::start(Box::new(backend), session, telemetry.clone()).expect("threads");
        let setup = Setup { engine: EngineId::Rvc, mode };
        let delays = instance.delays(setup);
        let slack = slack_len(RATE, BLOCK as u32, delays.compute_len);
        let latency = Latency::new(RATE, delays.latency_len, slack);
        let link = instance.attach(LinkConfig {
            host_rate: RATE,
            setup,
            stream_latency: latency.stream(),
            slack,
            ring_len: wet::ring_len(RATE, latency.total(), BLOCK),
        });
        let processor = Processor::new(link, telemetry.clone(), latency.total(), BLOCK);
        Playing { telemetry, processor, latency: latency.total() as usize, _instance: instance }
    }
}

struct Playing {
    telemetry: Arc<Telemetry>,
    processor: Processor,
    latency: usize,
    _instance: Instance,
}

impl Playing {
    /// Waits for voice and graphs as long as it takes.
    fn wait(&mut self) {
        let begin = Instant::now();
        while self.telemetry.run() != RunState::Converting {
            assert!(begin.elapsed() < Duration::from_secs(300), "{:?}", self.telemetry.troubles());
            self.processor.process(&mut [&mut [0.0; 16]], 1, &Controls::default(), false);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.processor.reset();
    }

    /// As a host that renders.
    fn render(&mut self, input: &[f32]) -> Vec<f32> {
        let mut output = input.to_vec();
        for block in output.chunks_mut(BLOCK) {
            self.processor.process(&mut [block], 1, &Controls::default(), true);
        }
        assert!(self.telemetry.troubles().is_empty(), "{:?}", self.telemetry.troubles());
        assert_eq!(self.telemetry.run(), RunState::Converting);
        output
    }
}

/// Computing time of this thread: the wall clock is somebody else's as well.
fn thread_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("readable");
    Duration::from_nanos(text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number"))
}

/// Wall clock and computing time of all threads, in seconds.
struct Stopwatch(Instant, f64);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), Self::computed())
    }

    /// Of all threads, in hundredths of a second.
    fn computed() -> f64 {
        let text = std::fs::read_to_string("/proc/self/stat").expect("readable");
        let after_name = text.rsplit(')').next().expect("a name");
        after_name.split_whitespace().skip(11).take(2).map(|word| word.parse::<f64>().expect("a number")).sum::<f64>()
            / 100.0
    }

    /// For so many seconds of audio or one of anything else.
    fn text(&self, seconds: f64) -> String {
        let (wall, computed) = (self.0.elapsed().as_secs_f64(), Self::computed() - self.1);
        format!("{:.2} by the clock, {:.2} computing", wall / seconds, computed / seconds)
    }
}

/// Resident memory of this process in MB, without what is free but was kept.
fn resident_mb() -> f64 {
    // SAFETY: gives unused memory back; touches nothing that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).expect("a number") / 1024.0
}

#[test]
fn many_instances_share_one_voice() {
    let _turn = turn();
    let full = std::env::var_os("COFFRE_RVC_FULL").filter(|value| !value.is_empty()).map(PathBuf::from);
    let (checkpoint, content) = match &full {
        Some(folder) => (folder.join("rvc_full.pth"), hubert::full_size()),
        None => {
            println!("small graphs: COFFRE_RVC_FULL names no folder with full ones");
            let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rvc_v2_40k.pth");
            (small, stand_in::stand_in().to_vec())
        }
    };
    let place = Place::new(&checkpoint, &content);
    drop(content);
    let input = common::vocal_like(RATE, if full.is_some() { 5 * RATE as usize } else { RATE as usize });
    println!("before: {:.0} MB", resident_mb());

    let begin = Stopwatch::start();
    let mut first = place.play(Mode::Live);
    first.wait();
    println!("voice and graphs loaded and warm: {} s", begin.text(1.0));
    let heard = first.latency / BLOCK * BLOCK + 2 * BLOCK;
    first.render(&input[..heard]);
    println!("first sound: {} s, {:.0} MB", begin.text(1.0), resident_mb());
    let import = place.import.as_secs_f64();
    println!("imported before: {import:.2} s, file to first sound: {:.2} s", import + begin.0.elapsed().as_secs_f64());
    let begin = Stopwatch::start();
    first.render(&input[heard..]);
    let seconds = (input.len() - heard) as f64 / f64::from(RATE);
    println!("live layout: {} x real time", begin.text(seconds));
    let one = resident_mb();
    let (graphs, shared) = (Graph::loaded_count(), place.shared());
    let holders = Arc::strong_count(&shared);
    assert!(holders > 1, "the instance plays another copy of the voice");

    let mut others: Vec<Playing> = (0..7).map(|_| place.play(Mode::Live)).collect();
    let begin = Stopwatch::start();
    for other in &mut others {
        other.wait();
        other.render(&input[..heard]);
    }
    let eight = resident_mb();
    println!("seven more: {} s, {eight:.0} MB beside {one:.0} MB", begin.text(1.0));
    assert_eq!(Graph::loaded_count(), graphs, "a graph was loaded again");
    assert_eq!(Arc::strong_count(&shared), holders + 7 * (holders - 1), "all play the one copy of the voice");
    assert!(eight - one <= 7.0 * INSTANCE_MB, "{eight:.0} MB for eight, {one:.0} MB for one");
    // Small graphs weigh less than the process around them: the ratio says something only with full ones.
    if full.is_some() {
        assert!(eight <= 1.25 * one, "{eight:.0} MB for eight, {one:.0} MB for one");
    }
    drop((first, others, shared));

    if full.is_some() {
        let mut mix = place.play(Mode::Mix);
        mix.wait();
        let begin = Stopwatch::start();
        mix.render(&input);
        println!("mix layout: {} x real time", begin.text(input.len() as f64 / f64::from(RATE)));
    }
}

#[test]
fn a_large_index_is_searched_in_time() {
    let _turn = turn();
    let (rows, dim) = (20_000, 768);
    let lists = 512;
    let mut random = common::Random(9);
    let mut numbers = |count: usize| (0..count).map(|_| random.sample()).collect::<Vec<f32>>();
    let vectors = numbers(rows * dim);
    let index = RetrievalIndex {
        dim,
        centroids: numbers(lists * dim),
        starts: (0..=lists).map(|list| list * rows / lists).collect(),
        vectors,
        ids: (0..).take(rows).collect(),
    };
    let queries = numbers(200 * dim);
    let mut found = Vec::new();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let begin = thread_time();
        for query in queries.chunks_exact(dim) {
            let mut features = query.to_vec();
            retrieval::blend(&index, &mut features, 0.75, &mut found);
            assert_eq!(found.len(), retrieval::NEIGHBOURS);
        }
        best = best.min((thread_time() - begin) / 200);
    }
    println!("{rows} x {dim} in {lists} lists: {:.3} ms a frame", best.as_secs_f64() * 1e3);
    assert!(best < Duration::from_micros(500), "{best:?} a frame");
}
