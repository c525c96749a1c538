//! Plays a voice's preview on top of everything else, only while the host plays in real time.
//!
//! Runs on the audio thread; knows nothing of files, rates or voices. While no preview plays, no sample is touched. A
//! render must never contain a preview, and some hosts render without saying so. So a preview starts only after the host
//! has kept to the wall clock for a while, and stops when the host runs ahead, pauses or resets.

use std::time::{Duration, Instant};

use crate::bridge::{PreviewEnd, PreviewSound};

/// Fade at the beginning, at the end and on request, in seconds.
const FADE_S: f32 = 0.01;

/// Stretch of wall time over which the host has to keep its pace before a preview may begin.
const PROOF: Duration = Duration::from_millis(250);

/// Audio per wall time that still counts as real time: sound cards' clocks are far nearer.
const PACE: f64 = 1.1;

/// How far a host may run ahead of the wall clock within a stretch, besides one block. A render leaves this behind within
/// some blocks.
const LEAD_S: f64 = 0.1;

/// After a pause longer than this, besides one block, a host starts over.
const PAUSE_S: f64 = 0.25;

/// Whether the host plays at the wall clock's pace.
#[derive(Debug)]
struct Gate {
    host_rate: f64,
    last_call: Option<Instant>,
    /// Where the present stretch began.
    begin: Option<Instant>,
    /// Audio asked for in it, in seconds.
    audio_s: f64,
    longest_block_s: f64,
    is_open: bool,
}

impl Gate {
    fn new(host_rate: u32) -> Self {
        let host_rate = f64::from(host_rate.max(1));
        Self { host_rate, last_call: None, begin: None, audio_s: 0.0, longest_block_s: 0.0, is_open: false }
    }

    fn close(&mut self) {
        (self.begin, self.last_call, self.audio_s, self.is_open) = (None, None, 0.0, false);
    }

    /// Sees a block of `len` samples that begins `now`; whether a preview may be heard in it.
    fn step(&mut self, now: Instant, len: usize) -> bool {
        let block_s = len as f64 / self.host_rate;
        let paused_s = self.last_call.map_or(f64::INFINITY, |last| (now - last).as_secs_f64());
        if paused_s > PAUSE_S + self.longest_block_s {
            self.close();
            self.longest_block_s = 0.0;
        }
        self.last_call = Some(now);
        self.longest_block_s = self.longest_block_s.max(block_s);
        let begin = *self.begin.get_or_insert(now);
        // What was asked for before this block has had its time by now.
        let wall = now - begin;
        if self.audio_s > wall.as_secs_f64() + LEAD_S + self.longest_block_s {
            self.is_open = false;
            (self.begin, self.audio_s) = (Some(now), 0.0);
        } else if wall >= PROOF {
            self.is_open = self.audio_s <= PACE * wall.as_secs_f64() + self.longest_block_s;
            (self.begin, self.audio_s) = (Some(now), 0.0);
        }
        self.audio_s += block_s;
        self.is_open
    }
}

/// A sound that is heard.
#[derive(Debug)]
struct Playing {
    sound: PreviewSound,
    position: usize,
    /// 1.0, or less while it fades out on request.
    gain: f32,
}

/// Adds previews to the output.
#[derive(Debug)]
pub struct PreviewPlayer {
    end: PreviewEnd,
    gate: Gate,
    playing: Option<Playing>,
    /// A sound that is over and found no room on its way back; freed elsewhere, never here.
    spent: Option<PreviewSound>,
    fade_len: usize,
}

impl PreviewPlayer {
    /// A player for the sounds that come by `end`. [main-thread]
    pub fn new(end: PreviewEnd) -> Self {
        let host_rate = end.rate();
        let fade_len = ((host_rate as f32 * FADE_S) as usize).max(1);
        Self { end, gate: Gate::new(host_rate), playing: None, spent: None, fade_len }
    }

    /// Stops the preview at once. [audio-thread]
    pub fn reset(&mut self) {
        self.finish();
        self.gate.close();
    }

    /// Whether something is heard. [audio-thread]
    pub fn is_playing(&self) -> bool {
        self.playing.is_some()
    }

    /// Adds to a block of `len` samples that the host asked for at `now`. `is_real_time`: as far as is known otherwise.
    ///
    /// # Realtime safety
    /// Neither allocates, frees, locks, nor waits. [audio-thread]
    pub fn mix(&mut self, channels: &mut [&mut [f32]], len: usize, now: Instant, is_real_time: bool) {
        self.end.note_call();
        // Always asked, so that the gate knows every call.
        if !self.gate.step(now, len) || !is_real_time {
            self.finish();
            return;
        }
        if self.playing.is_none() {
            self.begin_next();
        }
        let Some(playing) = &mut self.playing else { return };
        let total = playing.sound.samples.len();
        let is_wanted = self.end.is_wanted(playing.sound.number);
        let fade_step = 1.0 / self.fade_len as f32;
        for place in 0..len {
            if !is_wanted {
                playing.gain -= fade_step;
            }
            if playing.position >= total || playing.gain <= 0.0 {
                break;
            }
            let from_edge = (playing.position + 1).min(total - playing.position).min(self.fade_len);
            let gain = playing.gain * from_edge as f32 * fade_step;
            let sample = gain * playing.sound.samples[playing.position];
            for channel in channels.iter_mut() {
                channel[place] += sample;
            }
            playing.position += 1;
        }
        self.end.publish(playing.sound.number, playing.position);
        if playing.position >= total || playing.gain <= 0.0 {
            self.finish();
        }
    }

    /// Begins the next sound that is still wanted.
    fn begin_next(&mut self) {
        self.finish();
        while self.spent.is_none()
            && let Some(sound) = self.end.next_sound()
        {
            if self.end.is_wanted(sound.number) {
                self.playing = Some(Playing { sound, position: 0, gain: 1.0 });
                return;
            }
            self.spent = self.end.give_back(sound).err();
        }
    }

    /// Ends what is heard and sends it back, as far as there is room.
    fn finish(&mut self) {
        if self.spent.is_none() {
            self.spent = self.playing.take().map(|playing| playing.sound);
        }
        if let Some(sound) = self.spent.take() {
            self.spent = self.end.give_back(sound).err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::preview::preview;

    const RATE: u32 = 48_000;

    /// Calls blocks every `interval`; which of them were open.
    fn open(gate: &mut Gate, now: &mut Instant, blocks: usize, len: usize, interval: Duration) -> Vec<bool> {
        let step = |_| {
            let is_open = gate.step(*now, len);
            *now += interval;
            is_open
        };
        (0..blocks).map(step).collect()
    }

    #[test]
    fn the_gate_opens_for_the_wall_clocks_pace_alone() {
        let ten_ms = Duration::from_millis(10);
        let (mut gate, mut now) = (Gate::new(RATE), Instant::now());
        let seen = open(&mut gate, &mut now, 100, 480, ten_ms);
        assert!(!seen[20] && seen[30..].iter().all(|open| *open));
        // Twice as fast: shut within 0.1 s and some blocks, and never open again.
        let seen = open(&mut gate, &mut now, 400, 480, ten_ms / 2);
        let shut = seen.iter().position(|open| !open).expect("it shuts");
        assert!(shut < 80 && seen[shut..].iter().all(|open| !open), "{shut}");
        // A third faster is no real time either.
        let (mut gate, mut now) = (Gate::new(RATE), Instant::now());
        assert!(open(&mut gate, &mut now, 1_000, 480, ten_ms * 3 / 4).iter().all(|open| !open));
        // Back in time after a pause.
        now += Duration::from_secs(2);
        assert!(open(&mut gate, &mut now, 100, 480, ten_ms)[30..].iter().all(|open| *open));
    }

    #[test]
    fn jitter_and_long_blocks_do_not_shut_the_gate() {
        let (mut gate, mut now) = (Gate::new(RATE), Instant::now());
        for turn in 0..200 {
            let is_open = gate.step(now, 480);
            assert!(is_open || turn < 40, "{turn}");
            now += Duration::from_millis(if turn % 2 == 0 { 16 } else { 4 });
        }
        let (mut gate, mut now) = (Gate::new(RATE), Instant::now());
        let seen = open(&mut gate, &mut now, 40, 24_000, Duration::from_millis(500));
        assert!(seen[2..].iter().all(|open| *open), "{seen:?}");
    }

    #[test]
    fn a_sound_fades_in_and_out_and_on_request() {
        let (mut source, end) = preview(RATE);
        let mut player = PreviewPlayer::new(end);
        let mut now = Instant::now();
        let mut play = |player: &mut PreviewPlayer, blocks: usize| {
            let mut all = Vec::new();
            for _ in 0..blocks {
                let mut block = [0.25_f32; 480];
                player.mix(&mut [&mut block], 480, now, true);
                all.extend(block.map(|sample| sample - 0.25));
                now += Duration::from_millis(10);
            }
            all
        };
        play(&mut player, 40);
        let sound = |number, len| PreviewSound { number, samples: vec![0.5; len].into() };
        assert!(source.play(sound(1, 4_800)));
        let heard = play(&mut player, 11);
        assert!(heard[0] < 0.002 && heard[4_799] < 0.002 && heard[4_800..].iter().all(|sample| *sample == 0.0));
        assert!(heard[480..4_320].iter().all(|sample| *sample == 0.5));
        let step = |samples: &[f32]| samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(step(&heard) < 0.0015, "{}", step(&heard));
        // Stopped in the middle: over within a block, without a click.
        assert!(source.play(sound(2, 48_000)));
        let before = play(&mut player, 5);
        source.stop();
        let after = play(&mut player, 2);
        assert_eq!(before.last(), Some(&0.5));
        assert!(step(&[&before[480..], &after[..]].concat()) < 0.0015 && after[480..].iter().all(|s| *s == 0.0));
        assert!(!player.is_playing());
        // One that is replaced gives way, and a reset cuts off.
        assert!(source.play(sound(3, 48_000)));
        play(&mut player, 3);
        assert!(source.play(sound(4, 48_000)));
        assert_eq!(play(&mut player, 5).last(), Some(&0.5));
        player.reset();
        assert!(play(&mut player, 1).iter().all(|sample| *sample == 0.0));
    }
}
