//! The most recent input samples, addressed by their absolute index.
//!
//! Owned by one engine, used on its thread. Allocates in [`History::new`] only.

/// A ring of the newest samples. Indices count from the last reset; what is older than the ring or not yet pushed
/// reads as silence.
#[derive(Debug)]
pub struct History {
    ring: Box<[f32]>,
    /// Absolute index one past the newest sample.
    end: i64,
}

impl History {
    /// A ring that remembers at least `len` samples.
    pub fn new(len: usize) -> Self {
        Self { ring: vec![0.0; len.next_power_of_two()].into_boxed_slice(), end: 0 }
    }

    /// Forgets everything and restarts the count at 0.
    pub fn reset(&mut self) {
        self.ring.fill(0.0);
        self.end = 0;
    }

    /// Absolute index one past the newest sample.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Appends samples. Those that are not finite are stored as silence.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            let slot = self.slot(self.end);
            self.ring[slot] = if sample.is_finite() { sample } else { 0.0 };
            self.end += 1;
        }
    }

    /// Copies the samples `[start, start + out.len())`.
    pub fn copy(&self, start: i64, out: &mut [f32]) {
        let oldest = (self.end - self.ring.len() as i64).max(0);
        for (n, value) in out.iter_mut().enumerate() {
            let index = start + n as i64;
            *value = if index >= oldest && index < self.end { self.ring[self.slot(index)] } else { 0.0 };
        }
    }

    fn slot(&self, index: i64) -> usize {
        // The length is a power of two and the index is not negative.
        index as usize & (self.ring.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_absolute_index_and_the_rest_is_silence() {
        let mut history = History::new(8);
        history.push(&(0..20).map(|n| n as f32).collect::<Vec<_>>());
        let mut out = [9.0; 12];
        history.copy(10, &mut out);
        assert_eq!(out, [0.0, 0.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 0.0, 0.0]);
        history.push(&[f32::NAN, f32::INFINITY]);
        let mut last = [1.0; 2];
        history.copy(20, &mut last);
        assert_eq!(last, [0.0, 0.0]);
    }
}
