//! Features of whole recordings, from the same analysis as the live engine in mix mode.

use crate::engine::analysis::{Analyser, AnalysisFrame};
use crate::engine::content::{ContentEncoder, ContentFrame, MEL_BANDS};
use crate::engine::native::bands::ENV_BANDS;
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
#[derive(Debug)]
pub struct FeatureExtractor {
    analyser: Analyser,
    /// Samples pushed so far.
    position: i64,
}

impl FeatureExtractor {
    /// An extractor at the start of a stream.
    pub fn new() -> Self {
        Self { analyser: Analyser::new(Mode::Mix), position: 0 }
    }

    /// The frames of a recording at 48 kHz, mono, and of the pause after it.
    pub fn analyse(&mut self, samples: &[f32]) -> Vec<AnalysedFrame> {
        let start = self.position;
        let end = start + i64::try_from(samples.len()).unwrap_or(i64::MAX);
        // The last frame leaves the analysis this many hops after its centre went in.
        let hops = samples.len().div_ceil(HOP_LEN) + self.analyser.delay_len().div_ceil(HOP_LEN);
        let mut frame = AnalysisFrame::default();
        let mut frames = Vec::with_capacity(hops);
        for hop in 0..hops {
            let mut block = [0.0; HOP_LEN];
            let from = (hop * HOP_LEN).min(samples.len());
            let part = &samples[from..(from + HOP_LEN).min(samples.len())];
            block[..part.len()].copy_from_slice(part);
            self.analyser.push(&block, &mut frame);
            self.position += HOP_LEN as i64;
            frames.push(AnalysedFrame {
                f0_hz: frame.f0_hz,
                loudness: frame.loudness,
                envelope: frame.envelope,
                mel: frame.mel,
                is_inside: (start..end).contains(&frame.centre),
            });
        }
        frames
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
pub fn encode(
    frames: &[AnalysedFrame],
    mut encoder: Option<&mut ContentEncoder>,
) -> Result<Vec<FeatureFrame>, GraphError> {
    let mut content = ContentFrame::default();
    let mut features = Vec::with_capacity(frames.len());
    for frame in frames {
        let mut key = None;
        if let Some(encoder) = &mut encoder {
            encoder.step(&frame.mel, &mut content)?;
            key = Some(Box::new(content.key));
        }
        if frame.is_inside {
            let AnalysedFrame { f0_hz, loudness, envelope, .. } = *frame;
            features.push(FeatureFrame { f0_hz, loudness, envelope, key });
        }
    }
    Ok(features)
}
