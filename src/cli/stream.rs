//! Runs a file's channels through the engine, aligned to the input: the latency is cut off the start and the tail is
//! flushed, so that as many samples come out as went in.

use std::collections::VecDeque;

use coffre::dsp::downmix::{Choice, DownMix};
use coffre::engine::stream::HostStream;
use coffre::engine::{Engine, EngineError, HopParams};

/// Gains around the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gains {
    /// Factor on the input: on what the engine hears and on the original in the mix.
    pub input: f32,
    /// Factor on the sum of converted and original sound.
    pub output: f32,
    /// Share of the converted sound, in `0.0..=1.0`; the rest is the original.
    pub mix: f32,
}

/// One file on its way through a [`HostStream`].
#[derive(Debug)]
pub struct AlignedStream {
    stream: HostStream,
    channels: usize,
    gains: Gains,
    /// Output samples still to be dropped at the start.
    skip: usize,
    /// The original, interleaved, of the samples that have not come out yet.
    dry: VecDeque<f32>,
    down: DownMix,
    mono: Vec<f32>,
    wet: Vec<f32>,
}

impl AlignedStream {
    /// Through `stream`, which must be at its start, with the same parameters all along.
    pub fn new(mut stream: HostStream, channels: usize, heard: Choice, params: HopParams, gains: Gains) -> Self {
        stream.set_params(0, params);
        let skip = stream.latency_len();
        let down = DownMix::new(channels, heard);
        Self { stream, channels, gains, skip, dry: VecDeque::new(), down, mono: Vec::new(), wet: Vec::new() }
    }

    /// Whether the channels have cancelled each other, so that one stood for all.
    pub fn has_cancelled(&self) -> bool {
        self.down.has_cancelled()
    }

    /// Gives the engine back.
    pub fn into_engine(self) -> Box<dyn Engine> {
        self.stream.into_engine()
    }

    /// Delay that is compensated, in samples of the file.
    pub fn latency_len(&self) -> usize {
        self.stream.latency_len()
    }

    /// Takes interleaved samples and appends what is ready to `output`, interleaved.
    pub fn push(&mut self, input: &[f32], output: &mut Vec<f32>) -> Result<(), EngineError> {
        self.dry.extend(input);
        self.mono.clear();
        // Operation by operation as the plugin's `audio` does it, so that both give the same bits.
        let gain = self.gains.input;
        self.mono.extend(input.chunks_exact(self.channels).map(|frame| self.down.step(frame) * gain));
        self.stream.push(&self.mono);
        self.run(output)
    }

    /// Appends what is still missing to `output`: afterwards as many samples came out as went in.
    pub fn finish(&mut self, output: &mut Vec<f32>) -> Result<(), EngineError> {
        // Silence of the length of a hop at most; how much is needed follows from what is still owed.
        let silence = [0.0; 256];
        while !self.dry.is_empty() {
            self.stream.push(&silence);
            self.run(output)?;
        }
        Ok(())
    }

    fn run(&mut self, output: &mut Vec<f32>) -> Result<(), EngineError> {
        while let Some(report) = self.stream.run_hop() {
            report?;
            // A plugin plays on with what still works; a file is right or it is not written.
            if let Some(trouble) = self.stream.engine_mut().trouble() {
                return Err(trouble);
            }
        }
        self.wet.resize(self.stream.available(), 0.0);
        self.stream.read(&mut self.wet);
        let dropped = self.skip.min(self.wet.len());
        self.skip -= dropped;
        let owed = self.dry.len() / self.channels;
        let Gains { input, output: gain, mix } = self.gains;
        for wet in self.wet[dropped..].iter().take(owed) {
            for dry in self.dry.drain(..self.channels) {
                let dry = dry * input;
                output.push((wet * mix + dry * (1.0 - mix)) * gain);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {

    use coffre::engine::{Engine, HopReport, IdentityEngine};

    use super::*;

    /// Fails, or only reports trouble, from hop `from` on.
    struct Failing {
        from: usize,
        hops: usize,
        is_hard: bool,
    }

    impl Failing {
        fn error(&self) -> Option<EngineError> {
            (self.hops > self.from).then(|| EngineError::Graph { graph: "content", reason: "on purpose".into() })
        }
    }

    impl Engine for Failing {
        fn latency_len(&self) -> usize {
            0
        }

        fn tail_len(&self) -> usize {
            0
        }

        fn put(&mut self, _slot: usize, _voice: Option<coffre::engine::Prepared>) {}

        fn trouble(&self) -> Option<EngineError> {
            self.error()
        }

        fn reset(&mut self) {}

        fn process_hop(&mut self, _: &HopParams, _: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
            self.hops += 1;
            output.fill(0.0);
            self.error().filter(|_| self.is_hard).map_or(Ok(HopReport::default()), Err)
        }
    }

    #[test]
    fn a_failure_or_silent_trouble_ends_the_conversion() {
        for is_hard in [false, true] {
            let stream =
                HostStream::new(Box::new(Failing { from: 3, hops: 0, is_hard }), 48_000).expect("a usual rate");
            let gains = Gains { input: 1.0, output: 1.0, mix: 1.0 };
            let mut aligned = AlignedStream::new(stream, 1, Choice::Sum, HopParams::default(), gains);
            let mut output = Vec::new();
            aligned.push(&[0.1; 3 * 480], &mut output).expect("three hops are fine");
            assert!(aligned.push(&[0.1; 480], &mut output).is_err());
        }
    }

    fn through(rate: u32, channels: usize, block: usize, mix: f32, input: &[f32]) -> Vec<f32> {
        let stream = HostStream::new(Box::new(IdentityEngine::new(1464)), rate).expect("a usual rate");
        let gains = Gains { input: 1.0, output: 1.0, mix };
        let mut aligned = AlignedStream::new(stream, channels, Choice::Sum, HopParams::default(), gains);
        let mut output = Vec::new();
        for block in input.chunks(block * channels) {
            aligned.push(block, &mut output).expect("no failure");
        }
        aligned.finish(&mut output).expect("no failure");
        output
    }

    #[test]
    fn identity_comes_out_where_it_went_in() {
        for len in [0, 1, 5, 479, 480, 20_001] {
            let input: Vec<f32> = (0..len).map(|n| (n as f32 * 0.05).sin()).collect();
            for block in [1, 64, 480, 30_000] {
                assert_eq!(through(48_000, 1, block, 1.0, &input), input, "{len} samples in blocks of {block}");
            }
        }
    }

    #[test]
    fn channels_are_averaged_and_the_original_keeps_them() {
        let input = [1.0, 0.0, 0.5, 0.25, 0.0, 0.0, -1.0, 1.0];
        assert_eq!(through(48_000, 2, 3, 1.0, &input), [0.5, 0.5, 0.375, 0.375, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(through(48_000, 2, 3, 0.0, &input), input);
        assert_eq!(through(48_000, 2, 3, 0.5, &input)[..4], [0.75, 0.25, 0.4375, 0.3125]);
    }

    #[test]
    fn any_partition_gives_the_same_samples_at_any_rate() {
        let input: Vec<f32> = (0..9_000).map(|n| (n as f32 * 0.031).sin() * 0.7).collect();
        for rate in [8_000, 44_100, 96_000, 192_000] {
            let whole = through(rate, 1, input.len(), 1.0, &input);
            assert_eq!(whole.len(), input.len());
            for block in [1, 17, 441] {
                assert!(through(rate, 1, block, 1.0, &input) == whole, "{rate} Hz, blocks of {block}");
            }
        }
    }
}
