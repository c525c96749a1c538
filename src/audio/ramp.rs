//! A control value that moves to its target in a straight line, one step per sample.
//!
//! Runs on the audio thread. Its path depends only on the samples since the change, not on how they were cut into
//! blocks.

/// A value on its way to a target.
#[derive(Clone, Copy, Debug)]
pub struct Ramp {
    value: f32,
    target: f32,
    step: f32,
    left: u32,
    len: u32,
}

impl Ramp {
    /// A ramp that takes `len` samples for every change, resting at `value`.
    pub fn new(len: u32, value: f32) -> Self {
        Self { value, target: value, step: 0.0, left: 0, len: len.max(1) }
    }

    /// Goes to `target` from here on. The same target again changes nothing. [audio-thread]
    pub fn set(&mut self, target: f32) {
        if target != self.target {
            self.target = target;
            self.left = self.len;
            self.step = (target - self.value) / self.len as f32;
        }
    }

    /// Is at `value` at once. [audio-thread]
    pub fn jump(&mut self, value: f32) {
        (self.value, self.target, self.left) = (value, value, 0);
    }

    /// The value for the next sample. [audio-thread]
    pub fn step(&mut self) -> f32 {
        if self.left > 0 {
            self.left -= 1;
            // The last step lands exactly, so that resting values are exact ones.
            self.value = if self.left == 0 { self.target } else { self.value + self.step };
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_arrives_exactly_after_its_length() {
        let mut ramp = Ramp::new(4, 0.0);
        ramp.set(1.0);
        assert_eq!([ramp.step(), ramp.step(), ramp.step(), ramp.step(), ramp.step()], [0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn setting_the_same_target_again_does_not_start_over() {
        let (mut once, mut often) = (Ramp::new(50, 0.0), Ramp::new(50, 0.0));
        once.set(0.7);
        for _ in 0..60 {
            often.set(0.7);
            assert_eq!(once.step().to_bits(), often.step().to_bits());
        }
    }
}
