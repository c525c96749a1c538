//! Runs the generator of a voice over a window: Coffre's own graph, or an exported one.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::geometry::Geometry;
use super::net::{self, NOISE_SCALE, Probe};
use super::source::{self, Stream};
use crate::onnx::{Graph, GraphCall, GraphError, LooseInput, LooseOutput, Port, Runtime, Settings};
use crate::voice::Voice;
use crate::voice::import::{Checkpoint, RvcConfig};
use crate::voice::rvc::{Dialect, ForeignGraph, Generator as Parts};

const NAME: &str = "rvc";

/// What a run needs to know of a window.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Absolute index of the first frame.
    pub start: i64,
    /// Content features, `[window, features]`.
    pub phone: &'a [f32],
    /// F0 that is sung, in Hz by frame; 0.0 = unvoiced.
    pub f0_hz: &'a [f32],
    /// Cycles of the sine before the first decoded frame.
    pub phase: f64,
    /// Factor on the formants.
    pub formant: f32,
}

/// A loaded generator, to be run over windows of one layout.
#[derive(Debug)]
pub struct Generator {
    network: Network,
    geometry: Geometry,
    /// Binding of an own graph for a number of decoded frames.
    call: Option<(usize, GraphCall)>,
}

/// The graph of a generator and its properties, shared by all users of a voice.
#[derive(Clone, Debug)]
pub struct Network(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Own(Own),
    Foreign(Foreign),
}

#[derive(Clone, Debug)]
struct Own {
    graph: Arc<Graph>,
    config: RvcConfig,
}

#[derive(Clone, Debug)]
struct Foreign {
    graph: Arc<Graph>,
    dialect: Dialect,
    features: usize,
    has_f0: bool,
    samples_per_frame: usize,
    /// Inputs that the graph has; exports of voices without F0 leave some out.
    inputs: Vec<String>,
    noise_channels: usize,
}

impl Network {
    /// Loads the generator of a voice, or joins those who use it already.
    ///
    /// # Errors
    /// [`GraphError`] when weights or graph cannot be used.
    /// [worker-thread]
    pub fn new(runtime: &Runtime, voice: &Voice, speaker: usize) -> Result<Self, GraphError> {
        let unfit = |reason: &str| GraphError::Contract { graph: NAME, reason: reason.to_owned() };
        let parts = voice.rvc().ok_or_else(|| unfit("the voice is not one of RVC"))?;
        let mut key = Sha256::new();
        key.update(voice.id().as_bytes());
        key.update(speaker.to_le_bytes());
        let key: [u8; 32] = key.finalize().into();
        match &parts.generator {
            Parts::Weights(checkpoint) => {
                let graph = Graph::open_built(runtime, NAME, key, Settings::large(), || built(checkpoint, speaker))?;
                Ok(Self(Kind::Own(Own { graph, config: checkpoint.config.clone() })))
            }
            Parts::Graph(foreign) => {
                let graph =
                    Graph::open_built(runtime, NAME, key, Settings::large(), || Ok(Cow::Borrowed(&foreign.bytes)))?;
                Ok(Self(Kind::Foreign(Foreign::new(graph, foreign)?)))
            }
        }
    }
}

impl Generator {
    /// A user of a network, with tensors of its own. Loads nothing.
    pub fn new(network: Network, geometry: Geometry) -> Self {
        Self { network, geometry, call: None }
    }

    /// Samples per decoded frame.
    pub fn samples_per_frame(&self) -> usize {
        match &self.network.0 {
            Kind::Own(own) => own.config.samples_per_frame(),
            Kind::Foreign(foreign) => foreign.samples_per_frame,
        }
    }

    /// Whether neighbouring windows agree where they overlap, so that nothing has to be searched for.
    pub fn is_aligned(&self) -> bool {
        matches!(self.network.0, Kind::Own(_))
    }

    /// Whether pitch is an input.
    pub fn has_f0(&self) -> bool {
        match &self.network.0 {
            Kind::Own(own) => own.config.has_f0,
            Kind::Foreign(foreign) => foreign.has_f0,
        }
    }

    /// Frames that the decoder makes for a formant factor. Other graphs than ours cannot move formants.
    pub fn decoded_frames(&self, formant: f32) -> usize {
        let frames = self.geometry.decoded();
        if self.is_aligned() { (frames as f32 * formant).ceil() as usize } else { frames }
    }

    /// How many of [`Generator::decoded_frames`] become sound.
    pub fn made_frames(&self, formant: f32) -> usize {
        let (made, decoded) = (self.geometry.made(), self.geometry.decoded());
        (made * self.decoded_frames(formant)).div_ceil(decoded)
    }

    /// The sound of the first `made_frames * samples_per_frame` samples of the decoded frames.
    ///
    /// # Errors
    /// [`GraphError`] when the run failed.
    /// [worker-thread]
    pub fn run(&mut self, window: &Window<'_>) -> Result<Vec<f32>, GraphError> {
        let (frames, made) = (self.decoded_frames(window.formant), self.made_frames(window.formant));
        let mut audio = match &self.network.0 {
            Kind::Own(own) => own.run(window, &self.geometry, [frames, made], &mut self.call)?,
            Kind::Foreign(foreign) => foreign.run(window, frames)?,
        };
        audio.truncate(made * self.samples_per_frame());
        match audio.iter().all(|sample| sample.is_finite()) {
            true => Ok(audio),
            false => Err(GraphError::Run { graph: NAME, reason: "it gave values that are not finite".into() }),
        }
    }
}

fn built(checkpoint: &Checkpoint, speaker: usize) -> Result<Cow<'static, [u8]>, GraphError> {
    let bytes = net::build(checkpoint, speaker, Probe::Off);
    bytes.map(Cow::Owned).map_err(|error| GraphError::Load { graph: NAME, reason: error.to_string() })
}

/// Standard normal numbers, `[channels, frames]`, by absolute frame and channel.
fn prior(start: i64, channels: usize, frames: usize, scale: f32, out: &mut [f32]) {
    for (channel, row) in out.chunks_exact_mut(frames).enumerate().take(channels) {
        for (frame, value) in row.iter_mut().enumerate() {
            let place = (start + frame as i64) * channels as i64 + channel as i64;
            *value = scale * source::normal(Stream::Prior, place.cast_unsigned());
        }
    }
}

impl Own {
    fn run(
        &self,
        window: &Window<'_>,
        geometry: &Geometry,
        [frames, made]: [usize; 2],
        bound: &mut Option<(usize, GraphCall)>,
    ) -> Result<Vec<f32>, GraphError> {
        let (flow_head, flow_frames) = (geometry.flow_head(), geometry.window() - geometry.flow_head());
        let channels = self.config.inter_channels;
        let has_f0 = self.config.has_f0;
        if bound.as_ref().is_none_or(|(count, _)| *count != frames) {
            *bound = Some((frames, self.bind(geometry, [frames, made])?));
        }
        let samples_per_frame = self.config.samples_per_frame();
        let sample_rate = self.config.sample_rate;
        let Some((_, call)) = bound else { return Ok(Vec::new()) };
        call.input_mut(0).copy_from_slice(window.phone);
        prior(window.start + flow_head as i64, channels, flow_frames, 1.0, call.input_mut(1));
        call.input_mut(2)[0] = flow_head as f32;
        call.input_mut(3)[0] = (geometry.window() - geometry.decoded() - flow_head) as f32;
        call.input_mut(4)[0] = frames as f32;
        call.input_mut(5)[0] = made as f32;
        if has_f0 {
            // The decoder's own time runs slower by the formant factor.
            let stretch = frames as f32 / geometry.decoded() as f32;
            for (class, &f0_hz) in call.input_mut(6).iter_mut().zip(window.f0_hz) {
                *class = super::pitch::coarse(f0_hz / window.formant);
            }
            let f0_hz = &window.f0_hz[geometry.window() - geometry.decoded()..];
            let first = window.start + (geometry.window() - geometry.decoded()) as i64;
            let mut phase = window.phase;
            for (frame, part) in call.input_mut(7).chunks_exact_mut(samples_per_frame).enumerate() {
                let here = f0_hz[((frame as f32 / stretch) as usize).min(f0_hz.len() - 1)];
                source::sine(phase, here / stretch, sample_rate, part);
                let start = (first as f64 * f64::from(stretch)).round() as i64 + frame as i64;
                source::add_noise(start * samples_per_frame as i64, here, part);
                phase = source::advance(phase, here / stretch);
            }
        }
        call.run()?;
        Ok(call.output(0).to_vec())
    }

    fn bind(&self, geometry: &Geometry, [frames, made]: [usize; 2]) -> Result<GraphCall, GraphError> {
        let config = &self.config;
        let phone = [1, geometry.window(), config.version.features()];
        let pitch = [1, geometry.window()];
        let noise = [1, config.inter_channels, geometry.window() - geometry.flow_head()];
        let [source, sound] = [frames, made].map(|frames| [1, 1, frames * config.samples_per_frame()]);
        let port = |name, shape| Port { name, shape: Some(shape) };
        let mut inputs = vec![
            port(net::PHONE, phone.as_slice()),
            port(net::NOISE, &noise),
            port(net::FLOW_HEAD, &[1]),
            port(net::DECODE_HEAD, &[1]),
            port(net::DECODED_FRAMES, &[1]),
            port(net::MADE_FRAMES, &[1]),
        ];
        if config.has_f0 {
            inputs.extend([port(net::PITCH, pitch.as_slice()), port(net::SOURCE, &source)]);
        }
        self.graph.call(&inputs, &[port(net::AUDIO, &sound)])
    }
}

impl Foreign {
    fn new(graph: Arc<Graph>, foreign: &ForeignGraph) -> Result<Self, GraphError> {
        let unfit = |reason: String| GraphError::Contract { graph: NAME, reason };
        let [inputs, _] = graph.ports()?;
        let noise = inputs.iter().find(|port| port.name == "rnd");
        let noise_channels = noise.and_then(|port| port.shape.get(1).copied().flatten()).unwrap_or(192);
        let mut network = Self {
            graph,
            dialect: foreign.dialect,
            features: foreign.features,
            has_f0: foreign.has_f0,
            samples_per_frame: 0,
            inputs: inputs.into_iter().map(|port| port.name).collect(),
            noise_channels,
        };
        // The sample rate is not part of most files: it follows from how many samples come out.
        let probe = 50;
        let phone = vec![0.0; probe * foreign.features];
        let f0_hz = vec![200.0; probe];
        let window = Window { start: 0, phone: &phone, f0_hz: &f0_hz, phase: 0.0, formant: 1.0 };
        let len = network.audio(&window)?.len();
        if len == 0 || len % probe != 0 || !(80..=960).contains(&(len / probe)) {
            return Err(unfit(format!("it makes {len} samples of {probe} frames")));
        }
        network.samples_per_frame = len / probe;
        Ok(network)
    }

    fn run(&self, window: &Window<'_>, frames: usize) -> Result<Vec<f32>, GraphError> {
        let audio = self.audio(window)?;
        let wanted = frames * self.samples_per_frame;
        match audio.len().checked_sub(wanted) {
            Some(head) => Ok(audio[head..].to_vec()),
            None => Err(GraphError::Run { graph: NAME, reason: format!("it gave {} samples", audio.len()) }),
        }
    }

    fn audio(&self, window: &Window<'_>) -> Result<Vec<f32>, GraphError> {
        let frames = window.f0_hz.len();
        let phone_shape = [1, frames, self.features];
        let length = [frames as f32];
        let classes: Vec<f32> = window.f0_hz.iter().map(|&f0_hz| super::pitch::coarse(f0_hz)).collect();
        let mut noise = Vec::new();
        let noise_shape = [1, self.noise_channels, frames];
        if self.dialect == Dialect::Rvc {
            noise.resize(self.noise_channels * frames, 0.0);
            // This export leaves out the factor that voices were trained with.
            prior(window.start, self.noise_channels, frames, NOISE_SCALE, &mut noise);
        }
        let names = match self.dialect {
            Dialect::Rvc => ["phone", "phone_lengths", "ds"],
            Dialect::Wokada => ["feats", "p_len", "sid"],
        };
        let track = [1, frames];
        let all: [(&str, &[usize], &[f32]); 6] = [
            (names[0], &phone_shape, window.phone),
            (names[1], &[1], &length),
            (names[2], &[1], &[0.0]),
            ("pitch", &track, &classes),
            ("pitchf", &track, window.f0_hz),
            ("rnd", &noise_shape, &noise),
        ];
        let inputs: Vec<LooseInput<'_>> = all
            .into_iter()
            .filter(|(name, ..)| self.inputs.iter().any(|input| input == name))
            .filter(|(name, ..)| self.has_f0 || !name.starts_with("pitch"))
            .map(|(name, shape, values)| LooseInput { name, shape, values })
            .collect();
        let outputs = self.graph.run_loose(&inputs)?;
        // The sound is the longest output with one axis of any length, whatever its rank.
        let is_line = |output: &LooseOutput| output.shape.iter().max() == Some(&output.values.len());
        let audio = outputs.into_iter().filter(is_line).max_by_key(|output| output.values.len());
        Ok(audio.map(|output| output.values).unwrap_or_default())
    }
}
