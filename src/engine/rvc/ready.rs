//! A voice in a slot of the engine: its generator with tensors of its own, and the stages before and after it.

use std::sync::Arc;

use super::contentvec::ContentLine;
use super::generator::{Generator, Window};
use super::geometry::Geometry;
use super::loaded::Loaded;
use super::retrieval::{self, Neighbour};
use crate::engine::HOP_LEN;
use crate::engine::resample::Resampler;
use crate::onnx::GraphError;

/// A voice in a slot.
pub(super) struct Ready {
    pub(super) loaded: Arc<Loaded>,
    pub(super) generator: Generator,
    pub(super) content: ContentLine,
    /// From decoded samples to the engine's rate, for a number of decoded frames.
    resampler: Option<(usize, Resampler)>,
}

impl Ready {
    pub(super) fn new(loaded: Arc<Loaded>, geometry: Geometry) -> Self {
        let generator = Generator::new(loaded.network.clone(), geometry);
        let content = ContentLine::new(loaded.content.clone(), geometry);
        Self { loaded, generator, content, resampler: None }
    }

    /// Blends the frames from `from` on with what the index knows; `keeps` says how much of that a frame keeps.
    pub(super) fn retrieve(
        &self,
        phone: &mut [f32],
        from: usize,
        amount: f32,
        keeps: impl Fn(usize) -> f32,
        found: &mut Vec<Neighbour>,
    ) {
        let Some(index) = self.loaded.voice.rvc().and_then(|parts| parts.index.as_ref()).filter(|_| amount > 0.0)
        else {
            return;
        };
        let mut blended = Vec::with_capacity(index.dim);
        // Two neighbouring frames hold the same features: one search serves both.
        for (pair, rows) in phone.chunks_mut(2 * index.dim).enumerate().skip(from / 2) {
            blended.clear();
            blended.extend_from_slice(&rows[..index.dim]);
            retrieval::blend(index, &mut blended, amount, found);
            for (half, row) in rows.chunks_exact_mut(index.dim).enumerate() {
                let kept = keeps(2 * pair + half);
                row.iter_mut().zip(&blended).for_each(|(value, new)| *value += kept * (new - *value));
            }
        }
    }

    /// Makes the sound of the first of `decoded` frames at the engine's rate, as much as `sound` holds.
    pub(super) fn render(&mut self, window: &Window<'_>, decoded: usize, sound: &mut [f32]) -> Result<(), GraphError> {
        let audio = self.generator.run(window)?;
        let frames = self.generator.decoded_frames(window.formant);
        let (from, to) = (frames * self.generator.samples_per_frame(), decoded * HOP_LEN);
        if from == to {
            sound.copy_from_slice(&audio);
            return Ok(());
        }
        if self.resampler.as_ref().is_none_or(|(len, _)| *len != from) {
            let rates = [from, to].map(|len| u32::try_from(len).unwrap_or(1));
            self.resampler = Some((from, Resampler::new(rates[0], rates[1], 0)));
        }
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.reset();
            resampler.push(&audio);
            resampler.push(&[0.0; HOP_LEN]);
            resampler.pull(sound);
        }
        Ok(())
    }
}
