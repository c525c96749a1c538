//! F0 by absolute frame: the tracker's decisions so far, and the F0 of a window made from them.

use std::collections::VecDeque;

/// What to do about frames without pitch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unvoiced {
    /// They stay unvoiced and are excited by noise: RVC as it was until 2024.
    #[default]
    Classic,
    /// F0 is drawn as a line from one voiced stretch to the next, so nothing is unvoiced: RVC 2.3.
    Interpolated,
}

/// The newest F0 frames of a stream.
#[derive(Debug)]
pub struct F0History {
    /// In Hz; 0.0 = unvoiced.
    frames: VecDeque<f32>,
    /// Absolute index after the newest frame.
    end: i64,
    capacity: usize,
}

impl F0History {
    /// An empty history for windows of `capacity` frames whose first decision is about frame `first`.
    pub fn new(capacity: usize, first: i64) -> Self {
        Self { frames: VecDeque::with_capacity(capacity + 1), end: first, capacity }
    }

    /// Adds the next frame.
    pub fn push(&mut self, f0_hz: f32) {
        self.frames.push_back(f0_hz);
        self.end += 1;
        if self.frames.len() > self.capacity {
            self.frames.pop_front();
        }
    }

    /// The frames from `start` on; unvoiced before the first, the last one held after it.
    pub fn copy(&self, start: i64, out: &mut [f32]) {
        let oldest = self.end - self.frames.len() as i64;
        for (n, out) in out.iter_mut().enumerate() {
            let index = (start + n as i64).min(self.end - 1) - oldest;
            *out = usize::try_from(index).ok().and_then(|index| self.frames.get(index)).copied().unwrap_or(0.0);
        }
    }
}

/// Fills unvoiced stretches by lines between their neighbours; held at the ends, untouched when nothing is voiced.
pub fn interpolate(f0_hz: &mut [f32]) {
    let mut last: Option<usize> = None;
    for here in 0..f0_hz.len() {
        if f0_hz[here] <= 0.0 {
            continue;
        }
        let (from, value) = (last.map_or(0, |last| last + 1), f0_hz[here]);
        for gap in from..here {
            f0_hz[gap] = match last {
                Some(last) => f0_hz[last] + (value - f0_hz[last]) * (gap - last) as f32 / (here - last) as f32,
                None => value,
            };
        }
        last = Some(here);
    }
    if let Some(last) = last {
        let value = f0_hz[last];
        f0_hz[last + 1..].fill(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_become_lines() {
        let mut f0_hz = [0.0, 100.0, 0.0, 0.0, 130.0, 0.0];
        interpolate(&mut f0_hz);
        assert_eq!(f0_hz, [100.0, 100.0, 110.0, 120.0, 130.0, 130.0]);
        let mut silent = [0.0; 4];
        interpolate(&mut silent);
        assert_eq!(silent, [0.0; 4]);
    }

    #[test]
    fn frames_are_found_by_their_absolute_place() {
        let mut history = F0History::new(4, -2);
        (0..6).for_each(|n| history.push(n as f32 + 1.0));
        let mut out = [9.0; 7];
        history.copy(-1, &mut out);
        // Frames 0 to 3 are known: 3, 4, 5, 6.
        assert_eq!(out, [0.0, 3.0, 4.0, 5.0, 6.0, 6.0, 6.0]);
    }
}
