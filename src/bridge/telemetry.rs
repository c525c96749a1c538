//! Latest values for the editor: written by audio thread and worker, read by anyone.
//!
//! Numbers are atomics, so that the audio thread can write them. Texts are behind a lock that only the worker, the loader
//! and the editor take.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use atomic_float::AtomicF32;

use super::device::DeviceChoice;

/// Hops whose F0 is kept: about ten seconds.
pub const F0_HISTORY_LEN: usize = 1_024;

/// What the converter does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RunState {
    /// The host has not started the plugin, or has stopped it.
    #[default]
    Idle = 0,
    /// Voices and graphs are being loaded; the fallback sounds.
    Starting = 1,
    /// Converting.
    Converting = 2,
    /// The worker is behind; the fallback sounds until it is back.
    Late = 3,
    /// The worker has stopped and tells why in a [`Trouble`]; the fallback sounds.
    Stopped = 4,
    /// The chosen voice needs the other engine, with another delay: the host has to start the audio again. The
    /// fallback sounds until then.
    OtherEngine = 5,
    /// The chosen voice cannot sound and tells why in a [`Trouble`]; the fallback sounds.
    NoVoice = 6,
}

impl RunState {
    fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Starting,
            2 => Self::Converting,
            3 => Self::Late,
            4 => Self::Stopped,
            5 => Self::OtherEngine,
            6 => Self::NoVoice,
            _ => Self::Idle,
        }
    }
}

/// How far the source profile is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ProfileState {
    /// Nothing learned: the general profile serves.
    #[default]
    Nothing,
    /// Collecting voiced sound; the share collected, in `0.0..=1.0`.
    Learning(f32),
    /// Learned and frozen.
    Learned,
}

/// Something that keeps Coffre from doing what the user expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// ONNX Runtime was not found or could not be used; register, equaliser and formants still work.
    Runtime {
        /// The loader's own words, with the remedy.
        reason: String,
    },
    /// A slot names a voice that is nowhere to be found.
    VoiceMissing {
        /// Slot, counted from 0.
        slot: usize,
        /// Display name, as the session has it.
        name: String,
    },
    /// The voice file of a slot was refused.
    VoiceRefused {
        /// Slot, counted from 0.
        slot: usize,
        /// Display name.
        name: String,
        /// Why.
        reason: String,
    },
    /// An RVC voice needs a graph that Coffre does not ship.
    FoundationMissing {
        /// Slot, counted from 0.
        slot: usize,
        /// Display name of the voice.
        name: String,
        /// What is missing where, and the command that gets it.
        reason: String,
    },
    /// The engine could not be built, or failed.
    Stopped {
        /// What was caught.
        reason: String,
    },
    /// The saved source profile cannot be used; the general profile serves.
    Profile {
        /// Why.
        reason: String,
    },
    /// The origin of a voice could not be written into its file.
    Origin {
        /// Display name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A graph of the engine fails: the voice sounds less like the target meanwhile.
    Degraded {
        /// Which graph, and the runtime's own words.
        reason: String,
    },
    /// What was learned does not look like a singer: mains hum, a test tone.
    DoubtfulSinger {
        /// The finding, as a question.
        reason: String,
    },
    /// The track sends samples that are no numbers.
    BadInput {
        /// So many since the plugin exists.
        samples: u64,
    },
}

/// Latest numbers from audio thread and worker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// What the converter does.
    pub run: RunState,
    /// Host sample rate in Hz; 0 before the host has started the plugin.
    pub host_rate: u32,
    /// Latency reported to the host, in samples at the host's rate.
    pub latency_samples: u32,
    /// Late hops since the plugin was started or the count was forgotten.
    pub late_hops: u64,
    /// Computing time of a hop as a share of its duration, smoothed; 0.0 = not known.
    pub load: f32,
    /// Largest absolute input sample since the last reading, linear, after the input gain.
    pub input_peak: f32,
    /// Root mean square of the latest input blocks, linear.
    pub input_rms: f32,
    /// Largest absolute output sample since the last reading, linear.
    pub output_peak: f32,
    /// Root mean square of the latest output blocks, linear.
    pub output_rms: f32,
    /// How far the register is moved, in semitones, transpose left out.
    pub register_st: f32,
    /// The source profile.
    pub profile: ProfileState,
}

#[derive(Debug, Default)]
struct Texts {
    device: String,
    device_choice: DeviceChoice,
    troubles: Vec<Trouble>,
}

/// Latest values of one plugin instance.
#[derive(Debug)]
pub struct Telemetry {
    run: AtomicU8,
    host_rate: AtomicU32,
    latency_samples: AtomicU32,
    late_hops: AtomicU64,
    late_hops_forgotten: AtomicU64,
    load: AtomicF32,
    input_peak: AtomicF32,
    input_rms: AtomicF32,
    output_peak: AtomicF32,
    output_rms: AtomicF32,
    register_st: AtomicF32,
    bad_samples: AtomicU64,
    is_learning: AtomicBool,
    is_learned: AtomicBool,
    profile_progress: AtomicF32,
    /// Source F0 in the high half, output F0 in the low half, as `f32` bits; hop `h` at `h % F0_HISTORY_LEN`.
    f0_history: Box<[AtomicU64]>,
    /// Hops written to `f0_history` since the plugin exists.
    f0_hops: AtomicU64,
    texts: Mutex<Texts>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            run: AtomicU8::new(0),
            host_rate: AtomicU32::new(0),
            latency_samples: AtomicU32::new(0),
            late_hops: AtomicU64::new(0),
            late_hops_forgotten: AtomicU64::new(0),
            load: AtomicF32::new(0.0),
            input_peak: AtomicF32::new(0.0),
            input_rms: AtomicF32::new(0.0),
            output_peak: AtomicF32::new(0.0),
            output_rms: AtomicF32::new(0.0),
            register_st: AtomicF32::new(0.0),
            bad_samples: AtomicU64::new(0),
            is_learning: AtomicBool::new(false),
            is_learned: AtomicBool::new(false),
            profile_progress: AtomicF32::new(0.0),
            f0_history: (0..F0_HISTORY_LEN).map(|_| AtomicU64::new(0)).collect(),
            f0_hops: AtomicU64::new(0),
            texts: Mutex::default(),
        }
    }
}

impl Telemetry {
    /// Takes a reading; peaks start again from 0. For one reader, the editor. [thread-safe]
    pub fn read(&self) -> Reading {
        Reading {
            run: self.run(),
            host_rate: self.host_rate.load(Ordering::Relaxed),
            latency_samples: self.latency_samples.load(Ordering::Relaxed),
            late_hops: self.late_hops() - self.late_hops_forgotten.load(Ordering::Relaxed),
            load: self.load.load(Ordering::Relaxed),
            input_peak: self.input_peak.swap(0.0, Ordering::Relaxed),
            input_rms: self.input_rms.load(Ordering::Relaxed),
            output_peak: self.output_peak.swap(0.0, Ordering::Relaxed),
            output_rms: self.output_rms.load(Ordering::Relaxed),
            register_st: self.register_st.load(Ordering::Relaxed),
            profile: if self.is_learned.load(Ordering::Relaxed) {
                ProfileState::Learned
            } else if self.is_learning.load(Ordering::Relaxed) {
                ProfileState::Learning(self.profile_progress.load(Ordering::Relaxed))
            } else {
                ProfileState::Nothing
            },
        }
    }

    /// What the converter does. [thread-safe]
    pub fn run(&self) -> RunState {
        RunState::from_u8(self.run.load(Ordering::Relaxed))
    }

    /// Late hops since the plugin exists. [thread-safe]
    pub fn late_hops(&self) -> u64 {
        self.late_hops.load(Ordering::Relaxed)
    }

    /// Sets the count of late hops in [`Reading`] to zero. [main-thread]
    pub fn forget_late_hops(&self) {
        self.late_hops_forgotten.store(self.late_hops(), Ordering::Relaxed);
    }

    /// Calls `each(source_hz, output_hz)` for the hops since `seen` (0.0 = unvoiced) and returns the new `seen`.
    ///
    /// Start with `seen = 0`; at most [`F0_HISTORY_LEN`] hops back. [main-thread]
    pub fn f0_since(&self, seen: u64, mut each: impl FnMut(f32, f32)) -> u64 {
        let end = self.f0_hops.load(Ordering::Acquire);
        // One less than the ring holds: the worker may be writing the oldest.
        let start = seen.max(end.saturating_sub(F0_HISTORY_LEN as u64 - 1)).min(end);
        for hop in start..end {
            let packed = self.f0_history[(hop % F0_HISTORY_LEN as u64) as usize].load(Ordering::Relaxed);
            each(f32::from_bits((packed >> 32) as u32), f32::from_bits(packed as u32));
        }
        end
    }

    /// What runs the graphs, in plain words: "CPU", "GPU: its name"; empty while unknown. [main-thread]
    pub fn device(&self) -> String {
        self.texts().device.clone()
    }

    /// What was chosen to run RVC voices, and what became of it. [main-thread]
    pub fn device_choice(&self) -> DeviceChoice {
        self.texts().device_choice.clone()
    }

    /// Sets what [`Telemetry::device_choice`] says. [worker-thread]
    pub fn set_device_choice(&self, choice: DeviceChoice) {
        self.texts().device_choice = choice;
    }

    /// What is missing or broken, most serious first. [main-thread]
    pub fn troubles(&self) -> Vec<Trouble> {
        self.texts().troubles.clone()
    }

    /// Sets the text of [`Telemetry::device`]. [worker-thread]
    pub fn set_device(&self, device: &str) {
        device.clone_into(&mut self.texts().device);
    }

    /// Replaces the troubles that `is_old` picks by `new`. [worker-thread]
    pub fn replace_troubles(&self, is_old: impl Fn(&Trouble) -> bool, new: Vec<Trouble>) {
        let mut texts = self.texts();
        texts.troubles.retain(|trouble| !is_old(trouble));
        texts.troubles.extend(new);
        texts.troubles.sort_by_key(|trouble| match trouble {
            Trouble::Stopped { .. } => 0,
            Trouble::Runtime { .. } => 1,
            Trouble::VoiceMissing { slot, .. }
            | Trouble::VoiceRefused { slot, .. }
            | Trouble::FoundationMissing { slot, .. } => 2 + slot,
            Trouble::Profile { .. } => 101,
            Trouble::Origin { .. } | Trouble::DoubtfulSinger { .. } => 102,
            Trouble::Degraded { .. } => 1,
            Trouble::BadInput { .. } => 103,
        });
    }

    /// Sets what the converter does. [audio-thread]
    pub fn set_run(&self, run: RunState) {
        self.run.store(run as u8, Ordering::Relaxed);
    }

    /// Sets rate and latency as told to the host. [main-thread]
    pub fn set_host(&self, host_rate: u32, latency_samples: u32) {
        self.host_rate.store(host_rate, Ordering::Relaxed);
        self.latency_samples.store(latency_samples, Ordering::Relaxed);
    }

    /// Counts late hops. [audio-thread]
    pub fn add_late_hops(&self, count: u64) {
        self.late_hops.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts replaced samples. [audio-thread]
    pub fn add_bad_samples(&self, count: u64) {
        if count > 0 {
            self.bad_samples.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Non-finite samples replaced so far. [worker-thread]
    pub fn bad_samples(&self) -> u64 {
        self.bad_samples.load(Ordering::Relaxed)
    }

    /// Publishes levels: peaks are held until read. [audio-thread]
    pub fn set_levels(&self, input: (f32, f32), output: (f32, f32)) {
        self.input_peak.fetch_max(input.0, Ordering::Relaxed);
        self.input_rms.store(input.1, Ordering::Relaxed);
        self.output_peak.fetch_max(output.0, Ordering::Relaxed);
        self.output_rms.store(output.1, Ordering::Relaxed);
    }

    /// Publishes the report of one hop; `load` is its computing time as a share of its duration. [worker-thread]
    pub fn publish_hop(&self, report: &crate::engine::HopReport, load: f32) {
        let hop = self.f0_hops.load(Ordering::Relaxed);
        let packed = u64::from(report.f0_source_hz.to_bits()) << 32 | u64::from(report.f0_output_hz.to_bits());
        self.f0_history[(hop % F0_HISTORY_LEN as u64) as usize].store(packed, Ordering::Relaxed);
        self.f0_hops.store(hop + 1, Ordering::Release);
        self.register_st.store(report.register_st, Ordering::Relaxed);
        self.profile_progress.store(report.profile_progress, Ordering::Relaxed);
        let smoothed = self.load.load(Ordering::Relaxed);
        self.load.store(smoothed + 0.05 * (load - smoothed), Ordering::Relaxed);
    }

    /// Sets what is known about the source profile. [worker-thread]
    pub fn set_profile(&self, is_learning: bool, is_learned: bool) {
        self.is_learning.store(is_learning, Ordering::Relaxed);
        self.is_learned.store(is_learned, Ordering::Relaxed);
        self.profile_progress.store(0.0, Ordering::Relaxed);
    }

    fn texts(&self) -> std::sync::MutexGuard<'_, Texts> {
        // A panic while holding the lock leaves plain strings behind: still good.
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::HopReport;

    #[test]
    fn peaks_are_held_until_read() {
        let telemetry = Telemetry::default();
        telemetry.set_levels((0.5, 0.1), (0.2, 0.1));
        telemetry.set_levels((0.3, 0.2), (0.4, 0.1));
        let reading = telemetry.read();
        assert_eq!((reading.input_peak, reading.output_peak, reading.input_rms), (0.5, 0.4, 0.2));
        assert_eq!(telemetry.read().input_peak, 0.0);
    }

    #[test]
    fn f0_history_gives_each_hop_once_and_forgets_the_oldest() {
        let telemetry = Telemetry::default();
        let mut seen = 0;
        for hop in 0..3_000u32 {
            let report = HopReport { f0_source_hz: hop as f32, f0_output_hz: 2.0 * hop as f32, ..HopReport::default() };
            telemetry.publish_hop(&report, 0.1);
            if hop == 9 {
                let mut hops = Vec::new();
                seen = telemetry.f0_since(seen, |source, output| hops.push((source, output)));
                assert_eq!(hops.len(), 10);
                assert_eq!(hops[9], (9.0, 18.0));
            }
        }
        let mut hops = Vec::new();
        seen = telemetry.f0_since(seen, |source, _| hops.push(source));
        assert_eq!(hops.len(), F0_HISTORY_LEN - 1);
        assert_eq!(hops.last(), Some(&2_999.0));
        assert_eq!(telemetry.f0_since(seen, |_, _| panic!("nothing is new")), 3_000);
    }

    #[test]
    fn forgotten_late_hops_are_not_read_again() {
        let telemetry = Telemetry::default();
        telemetry.add_late_hops(3);
        telemetry.forget_late_hops();
        telemetry.add_late_hops(2);
        assert_eq!(telemetry.read().late_hops, 2);
        assert_eq!(telemetry.late_hops(), 5);
    }
}
