//! All latency arithmetic, one formula, every term named. The only place that adds up latency.
//!
//! Knows only rates and lengths. All results are whole samples at the host's rate: terms that are fractions are rounded up
//! one by one, and [`super::stream::HostStream`] places its output exactly at the sum.

use super::resample::look_ahead_len;
use super::{ENGINE_RATE, HOP_LEN};

/// Lowest host rate that is converted, in Hz. No audio has it, but hosts' validators try 1234.5678 Hz.
pub const MIN_HOST_RATE: u32 = 1_000;

/// Highest host rate that is converted, in Hz: twice the highest of any converter; validators try 1 234 567.8 Hz.
pub const MAX_HOST_RATE: u32 = 1_536_000;

/// Time that the worker has at least for a hop of the native engine after its last sample arrived, in samples at
/// [`ENGINE_RATE`]: 4 ms.
pub const NATIVE_COMPUTE_LEN: usize = 192;

/// The terms of the delay from input to output, in samples at the host's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Look-ahead of the conversion to the engine's rate.
    pub resampler_in: u32,
    /// One hop has to be complete before the engine sees it.
    pub hop: u32,
    /// The engine's own delay.
    pub engine: u32,
    /// Look-ahead of the conversion back to the host's rate.
    pub resampler_out: u32,
    /// Time for the computation while the host continues: see [`slack_len`]. 0 outside a plugin.
    pub slack: u32,
}

impl Latency {
    /// The latency at `host_rate` of an engine that delays by `engine_latency_len` samples at [`ENGINE_RATE`].
    pub fn new(host_rate: u32, engine_latency_len: usize, slack: u32) -> Self {
        Self {
            resampler_in: look_ahead_len(host_rate, ENGINE_RATE) as u32,
            hop: host_from_engine(host_rate, HOP_LEN),
            engine: host_from_engine(host_rate, engine_latency_len),
            resampler_out: host_from_engine(host_rate, look_ahead_len(ENGINE_RATE, host_rate)),
            slack,
        }
    }

    /// Delay of a [`super::stream::HostStream`], which needs no slack.
    pub fn stream(&self) -> u32 {
        self.resampler_in + self.hop + self.engine + self.resampler_out
    }

    /// The latency reported to the host.
    pub fn total(&self) -> u32 {
        self.stream() + self.slack
    }
}

/// Samples at `host_rate` that last at least as long as `len` samples at [`ENGINE_RATE`].
pub fn host_from_engine(host_rate: u32, len: usize) -> u32 {
    (len as u64 * u64::from(host_rate)).div_ceil(u64::from(ENGINE_RATE)) as u32
}

/// The slack for a host that calls with blocks of up to `block_len` samples and an engine whose longest hop may take as
/// long as `compute_len` samples at [`ENGINE_RATE`] last.
///
/// It is the smallest multiple of `block_len` that lasts as long: what a block needs then arrived with a block that
/// many samples ago, so the worker has that long, whatever the block length.
pub fn slack_len(host_rate: u32, block_len: u32, compute_len: usize) -> u32 {
    let block_len = block_len.max(1);
    host_from_engine(host_rate, compute_len).div_ceil(block_len) * block_len
}

/// Samples at [`ENGINE_RATE`] of the engine's output that end before `len` samples of the stream at the host's rate do.
pub fn engine_output_within(latency: &Latency, host_rate: u32, len: u64) -> usize {
    let len = len.saturating_sub(u64::from(latency.hop + latency.resampler_in + latency.resampler_out));
    usize::try_from(len * u64::from(ENGINE_RATE) / u64::from(host_rate.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_by_table() {
        // (host rate, engine latency, block) -> (in, hop, engine, out, slack)
        let table = [
            ((48_000, 1464, 256), (0, 480, 1464, 0, 256)),
            ((48_000, 1464, 64), (0, 480, 1464, 0, 192)),
            ((48_000, 1464, 1), (0, 480, 1464, 0, 192)),
            ((48_000, 1464, 128), (0, 480, 1464, 0, 256)),
            ((44_100, 1464, 256), (48, 441, 1346, 49, 256)),
            ((96_000, 1464, 512), (96, 960, 2928, 96, 512)),
            ((192_000, 1464, 512), (192, 1920, 5856, 192, 1024)),
            ((22_050, 1464, 256), (48, 221, 673, 49, 256)),
        ];
        for ((rate, engine, block), (resampler_in, hop, engine_term, resampler_out, slack)) in table {
            let latency = Latency::new(rate, engine, slack_len(rate, block, NATIVE_COMPUTE_LEN));
            let wanted = Latency { resampler_in, hop, engine: engine_term, resampler_out, slack };
            assert_eq!(latency, wanted, "at {rate} Hz");
            assert_eq!(latency.total(), resampler_in + hop + engine_term + resampler_out + slack);
        }
    }

    #[test]
    fn the_worker_always_has_its_budget() {
        for rate in [22_050, 44_100, 48_000, 96_000, 192_000] {
            for (block_len, ms) in (1..3000u32).flat_map(|len| [(len, 4), (len, 100), (len, 500)]) {
                let slack = slack_len(rate, block_len, ENGINE_RATE as usize * ms as usize / 1000);
                // Blocks between the push of the newest sample a block needs and that block.
                let blocks = (slack - block_len + 1).div_ceil(block_len);
                assert!(blocks * block_len * 1000 >= rate * ms, "{rate} Hz, blocks of {block_len}, {ms} ms");
            }
        }
    }
}
