//! An RVC checkpoint: configuration and weights, checked against each other.
//!
//! Every size that later code multiplies or allocates with is bounded here. Reads v1 and v2, with and without F0, fp16 and
//! fp32, RVC's own files and Applio's, whose additional fields are shown or ignored.

use serde::{Deserialize, Serialize};

use super::ImportError;
use super::pickle::{Object, Pickle};
use super::torch::TorchFile;
use crate::voice::tensors::Tensors;

/// Fields that describe a checkpoint, for people.
pub(crate) const NOTES: [&str; 7] =
    ["author", "info", "epoch", "step", "creation_date", "embedder_model", "dataset_length"];

/// Which content features a voice was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RvcVersion {
    /// 256 features: layer 9 of ContentVec, projected.
    V1,
    /// 768 features: layer 12 of ContentVec.
    V2,
}

impl RvcVersion {
    /// Features of one content frame.
    pub fn features(self) -> usize {
        match self {
            Self::V1 => 256,
            Self::V2 => 768,
        }
    }
}

/// Sizes of the network. Every field is within the limits of [`RvcConfig::validate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RvcConfig {
    /// Content features.
    pub version: RvcVersion,
    /// Whether pitch is an input.
    pub has_f0: bool,
    /// Sample rate of the output, in Hz.
    pub sample_rate: u32,
    /// Channels between encoder, flow and decoder.
    pub inter_channels: usize,
    /// Channels inside the encoder and the flow.
    pub hidden_channels: usize,
    /// Channels inside the encoder's feed-forward layers.
    pub filter_channels: usize,
    /// Attention heads.
    pub heads: usize,
    /// Encoder layers.
    pub layers: usize,
    /// Kernel of the feed-forward layers.
    pub kernel: usize,
    /// Kernels of the decoder's residual blocks.
    pub resblock_kernels: Vec<usize>,
    /// Their dilations.
    pub resblock_dilations: Vec<Vec<usize>>,
    /// Upsampling factors of the decoder.
    pub upsample_rates: Vec<usize>,
    /// Kernels of the upsampling layers.
    pub upsample_kernels: Vec<usize>,
    /// Channels before the first upsampling.
    pub initial_channels: usize,
    /// Speakers to choose from.
    pub speakers: usize,
    /// Length of a speaker's embedding.
    pub speaker_channels: usize,
}

impl RvcConfig {
    /// Samples of output per 10 ms frame.
    pub fn samples_per_frame(&self) -> usize {
        self.upsample_rates.iter().product()
    }

    /// Channels after upsampling layer `stage`.
    pub fn channels(&self, stage: usize) -> usize {
        self.initial_channels >> (stage + 1)
    }

    /// Checks every size that later code relies on.
    ///
    /// # Errors
    /// [`ImportError::Unsupported`] naming the size.
    pub fn validate(&self) -> Result<(), ImportError> {
        let stages = self.upsample_rates.len();
        let is_odd = |kernel: &usize| kernel % 2 == 1 && *kernel <= 31;
        let checks = [
            ("sample rate", (8_000..=96_000).contains(&self.sample_rate)),
            ("inter_channels", (2..=1024).contains(&self.inter_channels) && self.inter_channels.is_multiple_of(2)),
            ("hidden_channels", (2..=1024).contains(&self.hidden_channels)),
            ("filter_channels", (1..=4096).contains(&self.filter_channels)),
            ("n_heads", (1..=16).contains(&self.heads) && self.hidden_channels.is_multiple_of(self.heads.max(1))),
            ("n_layers", (1..=24).contains(&self.layers)),
            ("kernel_size", is_odd(&self.kernel)),
            (
                "resblock_kernel_sizes",
                (1..=6).contains(&self.resblock_kernels.len()) && self.resblock_kernels.iter().all(is_odd),
            ),
            (
                "resblock_dilation_sizes",
                self.resblock_dilations.len() == self.resblock_kernels.len()
                    && self.resblock_dilations.iter().all(|list| (1..=6).contains(&list.len()))
                    && self.resblock_dilations.iter().flatten().all(|d| (1..=32).contains(d)),
            ),
            ("upsample_rates", (1..=8).contains(&stages) && self.upsample_rates.iter().all(|r| (1..=32).contains(r))),
            (
                "upsample_kernel_sizes",
                self.upsample_kernels.len() == stages
                    && self
                        .upsample_kernels
                        .iter()
                        .zip(&self.upsample_rates)
                        .all(|(kernel, rate)| (*rate..=64).contains(kernel) && (kernel - rate).is_multiple_of(2)),
            ),
            (
                "upsample_initial_channel",
                (1..=4096).contains(&self.initial_channels) && self.initial_channels >> stages > 0,
            ),
            ("spk_embed_dim", (1..=4096).contains(&self.speakers)),
            ("gin_channels", (1..=1024).contains(&self.speaker_channels)),
        ];
        if let Some((name, _)) = checks.iter().find(|(_, is_fine)| !is_fine) {
            return Err(ImportError::unsupported(format!("its configuration has a `{name}` that no RVC voice has")));
        }
        if u32::try_from(self.samples_per_frame() * 100) != Ok(self.sample_rate) {
            return Err(ImportError::unsupported(format!(
                "its upsampling ({:?}) does not lead to its sample rate of {} Hz",
                self.upsample_rates, self.sample_rate
            )));
        }
        Ok(())
    }
}

/// A voice as RVC trains it.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Sizes.
    pub config: RvcConfig,
    /// Weights by their names in the checkpoint.
    pub weights: Tensors,
    /// What the file says about itself, for people: author, training state.
    pub notes: Vec<(String, String)>,
}

impl Checkpoint {
    /// Reads a `.pth` file.
    ///
    /// # Errors
    /// Any [`ImportError`].
    pub fn read(bytes: Vec<u8>) -> Result<Self, ImportError> {
        let file = TorchFile::open(bytes)?;
        let pickle = file.pickle();
        let root = pickle.root();
        if !matches!(pickle.entry(root, "weight"), Some(Object::Dict(_))) {
            return Err(ImportError::unsupported(match pickle.entry(root, "model") {
                Some(_) => {
                    "this is a state of training (as G_2333.pth), not a finished voice. Give the small file that RVC \
                     puts into its `weights` folder"
                }
                None => "the file holds no RVC voice: it has no `weight`",
            }));
        }
        let mut config = read_config(pickle)?;
        let notes = read_notes(pickle);
        let weights = file.into_tensors(|pickle| pickle.entry(pickle.root(), "weight"))?;
        // RVC itself goes by the table: files say 109 speakers and hold one.
        if let Some([rows, _]) = weights.shape("emb_g.weight") {
            config.speakers = *rows;
        }
        config.validate()?;
        expect_known(&config, &weights)?;
        Ok(Self { config, weights, notes })
    }
}

/// The tensors that show what a file is, checked first for a better message than a missing tensor gives.
fn expect_known(config: &RvcConfig, weights: &Tensors) -> Result<(), ImportError> {
    let features = config.version.features();
    match weights.shape("enc_p.emb_phone.weight") {
        None => {
            return Err(ImportError::MissingTensor { name: "enc_p.emb_phone.weight".to_owned() });
        }
        Some([_, width]) if *width != features => {
            return Err(ImportError::unsupported(format!(
                "the voice wants {width} content features, its version {features}: it needs another content encoder \
                 than ContentVec and cannot be used"
            )));
        }
        Some(_) => {}
    }
    let has_source = weights.has("dec.m_source.l_linear.weight");
    if !weights.has("dec.conv_pre.weight") || (config.has_f0 && !has_source) {
        return Err(ImportError::unsupported(
            "the voice has another vocoder than RVC's own (as RefineGAN or MRF HiFi-GAN); only HiFi-GAN is supported",
        ));
    }
    Ok(())
}

fn text<'p>(pickle: &'p Pickle, key: &str) -> Option<&'p str> {
    match pickle.entry(pickle.root(), key)? {
        Object::Text(text) => Some(text),
        _ => None,
    }
}

fn whole(object: &Object) -> Option<usize> {
    match object {
        Object::Int(value) => usize::try_from(*value).ok(),
        Object::Bool(value) => Some(usize::from(*value)),
        _ => None,
    }
}

fn read_config(pickle: &Pickle) -> Result<RvcConfig, ImportError> {
    let root = pickle.root();
    let unfit = |what: &str| ImportError::unsupported(format!("its configuration {what}"));
    let version = match text(pickle, "version") {
        None | Some("v1") => RvcVersion::V1,
        Some("v2") => RvcVersion::V2,
        Some(other) => {
            let shown: String = other.chars().filter(|c| !c.is_control()).take(20).collect();
            return Err(ImportError::unsupported(format!("the voice has version `{shown}`; v1 and v2 are known")));
        }
    };
    if let Some(vocoder) = text(pickle, "vocoder").filter(|vocoder| !vocoder.eq_ignore_ascii_case("HiFi-GAN")) {
        let shown: String = vocoder.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(ImportError::unsupported(format!("the voice has the vocoder {shown}; only HiFi-GAN is supported")));
    }
    let has_f0 = pickle.entry(root, "f0").and_then(whole).unwrap_or(1) != 0;
    let Some(Object::List(items)) = pickle.entry(root, "config") else {
        return Err(unfit("is missing"));
    };
    if items.len() != 18 {
        return Err(unfit(&format!("has {} entries, not 18: a variant of RVC that is not known", items.len())));
    }
    let item = |index: usize| pickle.get(items[index]);
    let size = |index: usize| whole(item(index)).ok_or_else(|| unfit(&format!("has no number in place {index}")));
    let sizes = |object: &Object| match object {
        Object::List(list) if list.len() <= 16 => {
            list.iter().map(|&handle| whole(pickle.get(handle))).collect::<Option<Vec<usize>>>()
        }
        _ => None,
    };
    let list = |index: usize| sizes(item(index)).ok_or_else(|| unfit(&format!("has no list in place {index}")));
    let dilations = match item(11) {
        Object::List(lists) if lists.len() <= 16 => lists.iter().map(|&handle| sizes(pickle.get(handle))).collect(),
        _ => None,
    };
    if let Object::Text(kind) = item(9)
        && kind != "1"
    {
        return Err(unfit("asks for another kind of residual block"));
    }
    Ok(RvcConfig {
        version,
        has_f0,
        sample_rate: u32::try_from(size(17)?).map_err(|_| unfit("has an absurd sample rate"))?,
        inter_channels: size(2)?,
        hidden_channels: size(3)?,
        filter_channels: size(4)?,
        heads: size(5)?,
        layers: size(6)?,
        kernel: size(7)?,
        resblock_kernels: list(10)?,
        resblock_dilations: dilations.ok_or_else(|| unfit("has no lists in place 11"))?,
        upsample_rates: list(12)?,
        initial_channels: size(13)?,
        upsample_kernels: list(14)?,
        speakers: size(15)?,
        speaker_channels: size(16)?,
    })
}

fn read_notes(pickle: &Pickle) -> Vec<(String, String)> {
    let value = |key: &str| match pickle.entry(pickle.root(), key)? {
        Object::Text(text) => Some(text.chars().filter(|c| !c.is_control()).take(100).collect()),
        Object::Int(value) => Some(value.to_string()),
        Object::Float(value) => Some(value.to_string()),
        _ => None,
    };
    NOTES.iter().filter_map(|key| Some(((*key).to_owned(), value(key)?))).filter(|(_, text)| !text.is_empty()).collect()
}
