//! Runs a stream at the host's rate through an engine: used by the worker and by the command line.
//!
//! Takes any number of samples and returns as many. Knows no thread, clock, host or file. All positions are absolute
//! sample indices at the host's rate, counted from the last reset, and the engine's hops lie on a fixed grid from
//! position 0, so the output does not depend on how the input was cut.

use std::collections::VecDeque;

use super::latency::{Latency, MAX_HOST_RATE, MIN_HOST_RATE, engine_output_within};
use super::resample::{Resampler, look_ahead_len};
use super::{ENGINE_RATE, Engine, EngineError, HOP_LEN, HopParams, HopReport};
use crate::dsp::denormals::DenormalMode;
use crate::provenance::Embedder;

/// Samples beyond this are limited before the engine sees them: +30 dBFS.
const INPUT_LIMIT: f32 = 32.0;

/// Below this a sample is set to zero, so that no recursion meets denormal numbers: -600 dBFS.
const SMALLEST: f32 = 1e-30;

/// A host rate that is not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sample rate of {rate} Hz is not supported; {MIN_HOST_RATE} to {MAX_HOST_RATE} Hz are")]
pub struct UnsupportedRate {
    /// The refused rate in Hz.
    pub rate: u32,
}

/// An engine, fed and read at the host's rate.
///
/// The input sample at position `n` is heard at output position `n + latency_len()`. After `k` samples went in and all
/// hops were run, at least `k` samples can be read.
///
/// ```
/// use coffre::engine::{IdentityEngine, stream::HostStream};
/// let mut stream = HostStream::new(Box::new(IdentityEngine::new(100)), 48_000)?;
/// stream.push(&[1.0; 1000]);
/// while let Some(report) = stream.run_hop() {
///     report.expect("the identity never fails");
/// }
/// let mut output = [0.0; 1000];
/// assert_eq!(stream.read(&mut output), 1000);
/// assert_eq!((output[579], output[580]), (0.0, 1.0));
/// # Ok::<(), coffre::engine::stream::UnsupportedRate>(())
/// ```
pub struct HostStream {
    engine: Box<dyn Engine>,
    host_rate: u32,
    latency: Latency,
    /// Samples at the engine's rate by which the engine's stream begins before the input.
    early_len: usize,
    to_engine: Resampler,
    from_engine: Resampler,
    /// Records not yet in force, by rising position.
    coming: VecDeque<(u64, HopParams)>,
    params: HopParams,
    embedder: Embedder,
    hops: u64,
    bad_samples: u64,
    clean: Vec<f32>,
    hop_in: [f32; HOP_LEN],
    hop_out: [f32; HOP_LEN],
}

impl HostStream {
    /// A stream through `engine` at `host_rate` Hz.
    ///
    /// # Errors
    /// [`UnsupportedRate`] outside [`MIN_HOST_RATE`]..=[`MAX_HOST_RATE`].
    pub fn new(engine: Box<dyn Engine>, host_rate: u32) -> Result<Self, UnsupportedRate> {
        if !(MIN_HOST_RATE..=MAX_HOST_RATE).contains(&host_rate) {
            return Err(UnsupportedRate { rate: host_rate });
        }
        let latency = Latency::new(host_rate, engine.latency_len(), 0);
        // The engine starts a little before the input, because what enters at position 0 begins to sound before it.
        let early_len = look_ahead_len(ENGINE_RATE, host_rate);
        // Host output n is the engine's output at (n - latency) * ENGINE_RATE / host_rate + engine latency + early; the
        // resampler counts in samples at the engine's rate over host_rate.
        let shift = (engine.latency_len() + early_len) as i64 * i64::from(host_rate)
            - i64::from(latency.stream()) * i64::from(ENGINE_RATE);
        Ok(Self {
            engine,
            host_rate,
            latency,
            early_len,
            to_engine: Resampler::new(host_rate, ENGINE_RATE, -(early_len as i64) * i64::from(host_rate)),
            from_engine: Resampler::new(ENGINE_RATE, host_rate, shift),
            coming: VecDeque::with_capacity(256),
            params: HopParams::default(),
            embedder: Embedder::new(),
            hops: 0,
            bad_samples: 0,
            clean: Vec::new(),
            hop_in: [0.0; HOP_LEN],
            hop_out: [0.0; HOP_LEN],
        })
    }

    /// Delay from input to output in samples at the host's rate: exact for every rate.
    pub fn latency_len(&self) -> usize {
        self.latency.stream() as usize
    }

    /// The host's rate in Hz.
    pub fn host_rate(&self) -> u32 {
        self.host_rate
    }

    /// Samples at the host's rate after the end of the input until the output is silent, latency included.
    pub fn tail_len(&self) -> usize {
        Latency::new(self.host_rate, self.engine.tail_len(), 0).stream() as usize
    }

    /// The engine, to ask it something.
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// The engine, for voices and profiles.
    pub fn engine_mut(&mut self) -> &mut dyn Engine {
        self.engine.as_mut()
    }

    /// Gives the engine back.
    pub fn into_engine(self) -> Box<dyn Engine> {
        self.engine
    }

    /// Parameters for the audio from `position` on, in host samples since the last reset.
    ///
    /// They act from the first hop that begins at or after `position`. Records come with rising positions; one that is
    /// older than the newest acts from the newest's position on.
    pub fn set_params(&mut self, position: u64, params: HopParams) {
        let position = self.coming.back().map_or(position, |(newest, _)| position.max(*newest));
        self.coming.push_back((position, params));
    }

    /// Takes any number of samples. Non-finite ones become silence and are counted.
    pub fn push(&mut self, input: &[f32]) {
        self.clean.clear();
        self.clean.extend(input.iter().map(|sample| clean(*sample, &mut self.bad_samples)));
        self.to_engine.push(&self.clean);
    }

    /// Runs the next hop if its input is complete.
    ///
    /// # Errors
    /// [`EngineError`] if the engine failed; the hop is silence and the stream continues.
    pub fn run_hop(&mut self) -> Option<Result<HopReport, EngineError>> {
        if self.to_engine.available() < HOP_LEN {
            return None;
        }
        // Every thread computes the same, whatever mode its host left it in.
        let _mode = DenormalMode::flush();
        self.to_engine.pull(&mut self.hop_in);
        self.take_params_in_force();
        let result = self.engine.process_hop(&self.params, &self.hop_in, &mut self.hop_out);
        match &result {
            Ok(_) => {
                for sample in &mut self.hop_out {
                    *sample = clean(*sample, &mut self.bad_samples);
                }
            }
            Err(_) => self.hop_out.fill(0.0),
        }
        self.embedder.process(self.hops, self.engine.mark(), &mut self.hop_out);
        self.from_engine.push(&self.hop_out);
        self.hops += 1;
        Some(result)
    }

    /// Input samples still missing until the next hop can run.
    pub fn missing_len(&self) -> usize {
        self.to_engine.missing_len(HOP_LEN)
    }

    /// How many output samples can be read.
    pub fn available(&self) -> usize {
        self.from_engine.available()
    }

    /// Fills `output` as far as possible and returns how many samples that were.
    pub fn read(&mut self, output: &mut [f32]) -> usize {
        let _mode = DenormalMode::flush();
        self.from_engine.pull(output)
    }

    /// Non-finite samples replaced so far, on either side of the engine.
    pub fn bad_samples(&self) -> u64 {
        self.bad_samples
    }

    /// Forgets all audio and starts again at position 0 with the newest parameters; keeps voices and profile.
    pub fn reset(&mut self) {
        if let Some((_, newest)) = self.coming.drain(..).next_back() {
            self.params = newest;
        }
        self.engine.reset();
        self.embedder.reset();
        self.to_engine.reset();
        self.from_engine.reset();
        self.hops = 0;
    }

    /// The first `len` output samples since the reset that has just been made will not be heard.
    pub fn expect_unheard(&mut self, len: u64) {
        self.engine.expect_unheard(engine_output_within(&self.latency, self.host_rate, len));
    }

    fn take_params_in_force(&mut self) {
        let hop_start = (self.hops * HOP_LEN as u64).saturating_sub(self.early_len as u64) * u64::from(self.host_rate);
        while self.coming.front().is_some_and(|(position, _)| position * u64::from(ENGINE_RATE) <= hop_start) {
            if let Some((_, params)) = self.coming.pop_front() {
                self.params = params;
            }
        }
    }
}

impl std::fmt::Debug for HostStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostStream")
            .field("host_rate", &self.host_rate)
            .field("latency", &self.latency)
            .field("hops", &self.hops)
            .finish_non_exhaustive()
    }
}

fn clean(sample: f32, bad_samples: &mut u64) -> f32 {
    if !sample.is_finite() {
        *bad_samples += 1;
        0.0
    } else if sample.abs() < SMALLEST {
        0.0
    } else {
        sample.clamp(-INPUT_LIMIT, INPUT_LIMIT)
    }
}
