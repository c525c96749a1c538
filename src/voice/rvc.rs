//! A voice of the RVC engine: a generator, and a retrieval index if its maker provided one. Plain data.
//!
//! Stored in a `.coffre` file as arrays in the safetensors layout, or as the imported ONNX file.

use serde::{Deserialize, Serialize};

use super::VoiceError;
use super::error::presentable;
use super::import::checkpoint::NOTES;
use super::import::faiss::RetrievalIndex;
use super::import::onnx::OnnxOutline;
use super::import::{Checkpoint, ImportError, RvcConfig};
use super::manifest::ElementType;
use super::package::{Package, PackageWriter};
use super::tensors::Tensors;

const CONFIG: &str = "rvc/config.json";
const GRAPH: &str = "rvc/generator.onnx";
const INDEX: &str = "rvc/retrieval.index";
/// Members with weights and how the names of theirs begin: parts, because one member has a limit.
const PARTS: [(&str, &[&str]); 3] = [
    ("rvc/encoder.safetensors", &["enc_p.", "emb_g."]),
    ("rvc/flow.safetensors", &["flow."]),
    ("rvc/decoder.safetensors", &["dec."]),
];

/// Who exported an ONNX file; the exporters differ in the names of inputs and in the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// RVC's own export (MoeVS): `phone`, `phone_lengths`, `pitch`, `pitchf`, `ds`, `rnd`; noise is an input.
    Rvc,
    /// w-okada's voice changer: `feats`, `p_len`, `pitch`, `pitchf`, `sid`; noise is drawn inside.
    Wokada,
}

/// A generator that came as ONNX.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignGraph {
    /// Naming of the inputs.
    pub dialect: Dialect,
    /// Content features per frame.
    pub features: usize,
    /// Whether pitch is an input.
    pub has_f0: bool,
    /// Sample rate if the file says it; else it follows from how many samples a frame gives.
    pub sample_rate: Option<u32>,
    /// The file.
    pub bytes: Vec<u8>,
}

impl ForeignGraph {
    /// Recognises an RVC generator by its inputs.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] if it is not an ONNX file, [`ImportError::Unsupported`] for other graphs.
    pub fn read(bytes: Vec<u8>) -> Result<Self, ImportError> {
        let outline = OnnxOutline::read(&bytes)?;
        let (dialect, features) = match (outline.input("phone"), outline.input("feats")) {
            (Some(port), _) if outline.input("rnd").is_some() => (Dialect::Rvc, port),
            (_, Some(port)) => (Dialect::Wokada, port),
            _ => {
                let names: Vec<&str> = outline.inputs.iter().map(|port| port.name.as_str()).take(12).collect();
                return Err(ImportError::unsupported(format!(
                    "the graph is not an RVC voice: its inputs are {}. Voices have `phone` and `rnd` (RVC) or `feats` (w-okada)",
                    names.join(", ")
                )));
            }
        };
        let said: Option<serde_json::Value> =
            outline.metadata("metadata").and_then(|text| serde_json::from_str(text).ok());
        let number = |key: &str| said.as_ref()?.get(key)?.as_u64();
        let width = features.shape.get(2).copied().flatten();
        let width = width.or_else(|| number("embChannels").and_then(|value| usize::try_from(value).ok()));
        match width {
            Some(features @ (256 | 768)) => Ok(Self {
                dialect,
                features,
                has_f0: outline.input("pitchf").is_some(),
                sample_rate: number("samplingRate").and_then(|rate| u32::try_from(rate).ok()),
                bytes,
            }),
            other => Err(ImportError::unsupported(format!(
                "the graph takes {} content features; 256 (v1) or 768 (v2) are known",
                other.map_or("an unknown number of".to_owned(), |width| width.to_string())
            ))),
        }
    }
}

/// The generator of a voice.
#[derive(Clone, Debug, PartialEq)]
pub enum Generator {
    /// Weights, from which Coffre builds its own graph.
    Weights(Checkpoint),
    /// An exported graph.
    Graph(ForeignGraph),
}

/// Generator and index.
#[derive(Clone, Debug, PartialEq)]
pub struct RvcVoice {
    /// What makes the sound.
    pub generator: Generator,
    /// Content features of the target speaker.
    pub index: Option<RetrievalIndex>,
}

/// What the member [`CONFIG`] holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    network: Option<RvcConfig>,
    #[serde(default)]
    notes: Vec<(String, String)>,
}

impl RvcVoice {
    /// Content features per frame.
    pub fn features(&self) -> usize {
        match &self.generator {
            Generator::Weights(checkpoint) => checkpoint.config.version.features(),
            Generator::Graph(graph) => graph.features,
        }
    }

    /// Checks that generator and index belong together.
    ///
    /// # Errors
    /// [`ImportError::Unsupported`] when the index was made of other features.
    pub fn validate(&self) -> Result<(), ImportError> {
        match &self.index {
            Some(index) if index.dim != self.features() => Err(ImportError::unsupported(format!(
                "the index holds vectors of {} numbers, the voice has {} features: they are of different voices",
                index.dim,
                self.features()
            ))),
            _ => Ok(()),
        }
    }

    /// In a few words: version, rate, F0.
    pub fn describe(&self) -> String {
        let (version, rate, has_f0) = match &self.generator {
            Generator::Weights(checkpoint) => {
                let config = &checkpoint.config;
                (config.version.features(), Some(config.sample_rate), config.has_f0)
            }
            Generator::Graph(graph) => (graph.features, graph.sample_rate, graph.has_f0),
        };
        let version = if version == 256 { "v1" } else { "v2" };
        let rate = rate.map_or("rate of the graph".to_owned(), |rate| format!("{} kHz", rate / 1000));
        let index =
            self.index.as_ref().map_or("no index".to_owned(), |index| format!("{} indexed frames", index.len()));
        format!("RVC {version}, {rate}, {}, {index}", if has_f0 { "with F0" } else { "without F0" })
    }

    /// Adds the members `rvc/*` to a container.
    pub(crate) fn write(&self, writer: &mut PackageWriter) {
        let mut push = |path: &str, data: Vec<u8>| writer.push(path, ElementType::U8, &[data.len()], data);
        let stored = match &self.generator {
            Generator::Weights(checkpoint) => {
                for (path, prefixes) in PARTS {
                    let is_wanted = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
                    push(path, checkpoint.weights.to_bytes(is_wanted));
                }
                Stored { network: Some(checkpoint.config.clone()), notes: checkpoint.notes.clone() }
            }
            Generator::Graph(graph) => {
                push(GRAPH, graph.bytes.clone());
                Stored { network: None, notes: Vec::new() }
            }
        };
        push(CONFIG, serde_json::to_vec(&stored).unwrap_or_default());
        if let Some(index) = &self.index {
            push(INDEX, index.write());
        }
    }

    /// Reads the members `rvc/*`.
    ///
    /// # Errors
    /// [`VoiceError`] naming what is missing or does not fit.
    pub(crate) fn read(package: &mut Package) -> Result<Self, VoiceError> {
        let stored: Stored = serde_json::from_slice(&package.take_bytes(CONFIG)?)
            .map_err(|error| VoiceError::manifest(format!("`{CONFIG}`: {error}")))?;
        let generator = match stored.network {
            Some(config) => {
                config.validate()?;
                let mut weights = Tensors::default();
                for (path, _) in PARTS {
                    weights.read(&package.take_bytes(path)?)?;
                }
                // Other keys could imitate Coffre's own lines about the voice.
                let known = stored.notes.into_iter().filter(|(key, _)| NOTES.contains(&key.as_str()));
                let notes = known.take(NOTES.len()).map(|(key, text)| (key, presentable(&text))).collect();
                Generator::Weights(Checkpoint { config, weights, notes })
            }
            None => Generator::Graph(ForeignGraph::read(package.take_bytes(GRAPH)?)?),
        };
        let index = match package.has(INDEX) {
            true => Some(RetrievalIndex::read(&package.take_bytes(INDEX)?)?),
            false => None,
        };
        let voice = Self { generator, index };
        voice.validate()?;
        Ok(voice)
    }
}
