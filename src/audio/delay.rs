//! Delays a signal by a fixed number of samples: the dry channels and the controls that act with them.
//!
//! Runs on the audio thread. Knows nothing of what it delays.

/// A delay of a fixed length.
#[derive(Debug)]
pub struct Delay {
    /// Exactly the last `delay` samples, oldest at `next`.
    line: Vec<f32>,
    next: usize,
}

impl Delay {
    /// A delay of `len` samples, filled with silence. Allocates. [main-thread]
    pub fn new(len: usize) -> Self {
        Self { line: vec![0.0; len], next: 0 }
    }

    /// Forgets the past and puts `value` in its place. [audio-thread]
    pub fn fill(&mut self, value: f32) {
        self.line.fill(value);
        self.next = 0;
    }

    /// Takes a sample and gives back the one that entered `len` samples ago. [audio-thread]
    pub fn step(&mut self, sample: f32) -> f32 {
        let len = self.line.len();
        let Some(slot) = self.line.get_mut(self.next) else { return sample };
        self.next = if self.next + 1 == len { 0 } else { self.next + 1 };
        std::mem::replace(slot, sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_enters_comes_out_exactly_later() {
        for len in [0, 1, 2, 7, 100] {
            let mut delay = Delay::new(len);
            let output: Vec<f32> = (1..=300).map(|n| delay.step(n as f32)).collect();
            for (n, sample) in output.iter().enumerate() {
                assert_eq!(*sample, if n < len { 0.0 } else { (n - len + 1) as f32 });
            }
        }
    }

    #[test]
    fn filling_replaces_the_past() {
        let mut delay = Delay::new(3);
        for n in 0..5 {
            delay.step(n as f32);
        }
        delay.fill(9.0);
        assert_eq!([delay.step(1.0), delay.step(2.0), delay.step(3.0), delay.step(4.0)], [9.0, 9.0, 9.0, 1.0]);
    }
}
