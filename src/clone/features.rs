//! Features of whole recordings, from the same analysis as the live engine in mix mode.

use crate::engine::analysis::{Analyser, AnalysisFrame};
use crate::engine::bands::ENV_BANDS;
use crate::engine::content::{ContentEncoder, ContentFrame, MEL_BANDS};
use crate::engine::{HOP_LEN, Mode};
use crate::onnx::GraphError;
use crate::voice::KEY_LEN;

/// One 10 ms frame of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureFrame {
    /// F0 in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Loudness, natural-log power.
    pub loudness: f32,
    /// Envelope, natural-log power per band.
    pub envelope: [f32; ENV_BANDS],
    /// Content key with the speaker's mean still in it; `None` without an encoder.
    pub key: Option<Box<[f32; KEY_LEN]>>,
}

impl FeatureFrame {
    /// Envelope minus loudness.
    pub fn shape(&self) -> [f32; ENV_BANDS] {
        self.envelope.map(|value| value - self.loudness)
    }

    /// Whether the frame has an F0.
    pub fn is_voiced(&self) -> bool {
        self.f0_hz > 0.0
    }
}

/// One analysed frame before the content encoder has seen it.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalysedFrame {
    /// F0 in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Loudness, natural-log power.
    pub loudness: f32,
    /// Envelope, natural-log power per band.
    pub envelope: [f32; ENV_BANDS],
    /// Input of the content encoder.
    pub mel: [f32; MEL_BANDS],
    /// Whether the frame lies inside the recording rather than in the pause after it.
    pub is_inside: bool,
}

/// Analyses recordings one after the other, as one stream with short pauses.
///
/// A recording may come in pieces of any length: the frames are the same.
#[derive(Debug)]
pub struct FeatureExtractor {
    analyser: Analyser,
    frame: Box<AnalysisFrame>,
    /// Samples given to the analyser so far.
    position: i64,
    /// Where the present recording began.
    start: i64,
    /// Samples of the present recording that do not fill a hop yet.
    pending: Vec<f32>,
}

impl FeatureExtractor {
    /// An extractor at the start of a stream.
    pub fn new() -> Self {
        let analyser = Analyser::new(Mode::Mix);
        Self { analyser, frame: Box::default(), position: 0, start: 0, pending: Vec::new() }
    }

    /// Appends the frames that the next piece of the recording completes. 48 kHz, mono.
    pub fn push(&mut self, samples: &[f32], frames: &mut Vec<AnalysedFrame>) {
        self.pending.extend_from_slice(samples);
        let pending = std::mem::take(&mut self.pending);
        let (hops, rest) = pending.as_chunks::<HOP_LEN>();
        hops.iter().for_each(|hop| self.hop(hop, i64::MAX, frames));
        self.pending = rest.to_vec();
    }

    /// Ends the recording: appends its last frames and those of the pause after it.
    pub fn end(&mut self, frames: &mut Vec<AnalysedFrame>) {
        let end = self.position + self.pending.len() as i64;
        let mut hop = [0.0; HOP_LEN];
        hop[..self.pending.len()].copy_from_slice(&self.pending);
        if !self.pending.is_empty() {
            self.hop(&hop, end, frames);
        }
        self.pending.clear();
        // The last frame leaves the analysis this many hops after its centre went in.
        for _ in 0..self.analyser.delay_len().div_ceil(HOP_LEN) {
            self.hop(&[0.0; HOP_LEN], end, frames);
        }
        self.start = self.position;
    }

    /// The frames of a whole recording at 48 kHz, mono, and of the pause after it.
    pub fn analyse(&mut self, samples: &[f32]) -> Vec<AnalysedFrame> {
        let mut frames = Vec::with_capacity(samples.len().div_ceil(HOP_LEN) + 64);
        self.push(samples, &mut frames);
        self.end(&mut frames);
        frames
    }

    fn hop(&mut self, hop: &[f32; HOP_LEN], end: i64, frames: &mut Vec<AnalysedFrame>) {
        let frame = &mut *self.frame;
        self.analyser.push(hop, frame);
        self.position += HOP_LEN as i64;
        frames.push(AnalysedFrame {
            f0_hz: frame.f0_hz,
            loudness: frame.loudness,
            envelope: frame.envelope,
            mel: frame.mel,
            is_inside: (self.start..end).contains(&frame.centre),
        });
    }
}

impl Default for FeatureExtractor {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds content keys and drops the frames of the pause. Takes follow each other in the encoder's stream.
///
/// # Errors
/// [`GraphError`] when the content encoder fails.
pub fn encode(frames: &[AnalysedFrame], encoder: Option<&mut ContentEncoder>) -> Result<Vec<FeatureFrame>, GraphError> {
    let mut features = Vec::with_capacity(frames.len());
    encode_with(frames, encoder, |feature, _| features.push(feature))?;
    Ok(features)
}

/// As [`encode`], handing each frame to `take` with the encoder's likeliest phone class.
///
/// # Errors
/// [`GraphError`] when the content encoder fails.
pub fn encode_with(
    frames: &[AnalysedFrame],
    mut encoder: Option<&mut ContentEncoder>,
    mut take: impl FnMut(FeatureFrame, Option<usize>),
) -> Result<(), GraphError> {
    let mut content = ContentFrame::default();
    for frame in frames {
        let (mut key, mut phone) = (None, None);
        if let Some(encoder) = &mut encoder {
            encoder.step(&frame.mel, &mut content)?;
            if frame.is_inside {
                key = Some(Box::new(content.key));
                phone = content.logp.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
            }
        }
        if frame.is_inside {
            let AnalysedFrame { f0_hz, loudness, envelope, .. } = *frame;
            take(FeatureFrame { f0_hz, loudness, envelope, key }, phone);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_in_pieces_gives_the_same_frames() {
        let samples: Vec<f32> = (0..30_017).map(|n| (n as f32 * 0.02).sin() * 0.3).collect();
        let mut whole = FeatureExtractor::new();
        let wanted = [whole.analyse(&samples), whole.analyse(&samples[..5_000])];
        for piece in [1, 333, 480, 20_000] {
            let mut extractor = FeatureExtractor::new();
            for (recording, wanted) in [&samples[..], &samples[..5_000]].iter().zip(&wanted) {
                let mut frames = Vec::new();
                recording.chunks(piece).for_each(|part| extractor.push(part, &mut frames));
                extractor.end(&mut frames);
                assert!(frames == *wanted, "in pieces of {piece}");
            }
        }
        let inside = wanted[0].iter().filter(|frame| frame.is_inside).count();
        assert!((62..=63).contains(&inside), "{inside}");
    }
}
