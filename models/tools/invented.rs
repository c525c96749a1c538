//! Voices that belong to nobody: built from many speakers at once.
//!
//! A group of speakers provides the bank. Each speaker's own colour is taken out and replaced by one that none of them has:
//! the group's mean, moved away from the mean of all speakers until it is as far from that as a single speaker usually is,
//! then with other formants and another tilt.

use anyhow::{Context as _, Result};
use coffre::clone::{CloneOptions, FeatureFrame, NoiseFloor, voice_from_features};
use coffre::engine::bands::{ENV_BANDS, band_from_hz, centre_hz};
use coffre::engine::content::ContentEncoder;
use coffre::engine::profile::SpeakerStatistics;
use coffre::new_file::{self, Existing};
use coffre::voice::manifest::{Consent, ConsentGround};
use coffre::voice::{MeanShapes, Voice};

use super::{Options, POPULATION_BAND_HZ, Row, Split, features, speakers_of_sex, spread};

/// Speakers that share in one voice.
const SPEAKERS: usize = 8;

/// Seconds of each.
const SECONDS: f64 = 14.0;

/// Frequency around which a tilt turns, in Hz.
const TILT_PIVOT_HZ: f32 = 1_000.0;

/// One invented voice.
pub struct Invented {
    pub file: &'static str,
    name: &'static str,
    sex: &'static str,
    /// Which speakers of that sex: every `GROUPS`-th from this one on.
    group: usize,
    median_f0_hz: f32,
    /// Formant factor; above 1 is a smaller throat.
    throat: f32,
    /// Brightness in dB per octave.
    tilt_db: f32,
    description: &'static str,
}

/// Groups that the speakers of a sex are dealt to.
const GROUPS: usize = 4;

pub const INVENTED: [Invented; 4] = [
    Invented {
        file: "onyx",
        name: "Onyx",
        sex: "m",
        group: 0,
        median_f0_hz: 98.0,
        throat: 0.94,
        tilt_db: -1.0,
        description: "Invented low, dark male voice; nobody's own.",
    },
    Invented {
        file: "topaz",
        name: "Topaz",
        sex: "m",
        group: 1,
        median_f0_hz: 150.0,
        throat: 1.03,
        tilt_db: 0.7,
        description: "Invented high, bright male voice; nobody's own.",
    },
    Invented {
        file: "garnet",
        name: "Garnet",
        sex: "f",
        group: 2,
        median_f0_hz: 178.0,
        throat: 0.95,
        tilt_db: -0.5,
        description: "Invented low, full female voice; nobody's own.",
    },
    Invented {
        file: "opal",
        name: "Opal",
        sex: "f",
        group: 3,
        median_f0_hz: 245.0,
        throat: 1.06,
        tilt_db: 0.7,
        description: "Invented high, light female voice; nobody's own.",
    },
];

/// What one speaker lends.
struct Lender {
    takes: Vec<Vec<FeatureFrame>>,
    statistics: SpeakerStatistics,
}

/// Builds one invented voice into the voices' folder.
pub fn build(
    options: &Options,
    rows: &[Row],
    split: &Split,
    invented: &Invented,
    encoder: &mut ContentEncoder,
) -> Result<()> {
    let all = speakers_of_sex(rows, split, invented.sex, &["librispeech"]);
    let chosen: Vec<Vec<Row>> = all.iter().map(|rows| spread(rows, SECONDS)).collect();
    let name = format!("librispeech-{}", invented.sex);
    let mut takes = features(options, &name, &chosen.concat(), encoder)?.into_iter();
    let lenders: Vec<Lender> = chosen.iter().map(|rows| lender(takes.by_ref().take(rows.len()).collect())).collect();

    let everyone = mean_shapes(&lenders.iter().collect::<Vec<_>>());
    let group: Vec<&Lender> = lenders.iter().skip(invented.group).step_by(GROUPS).take(SPEAKERS).collect();
    let centre = mean_shapes(&group);
    let away = (group.len() as f32).sqrt();
    let colour = |everyone: &[f32; ENV_BANDS], centre: &[f32; ENV_BANDS]| -> [f32; ENV_BANDS] {
        std::array::from_fn(|band| everyone[band] + away * (centre[band] - everyone[band]))
    };
    let wanted = MeanShapes {
        voiced: colour(&everyone.voiced, &centre.voiced),
        unvoiced: colour(&everyone.unvoiced, &centre.unvoiced),
    };

    let mut made: Vec<Vec<FeatureFrame>> = Vec::new();
    for lender in &group {
        let own = lender.statistics.shapes();
        let key = lender.statistics.mean_key();
        let ratio = invented.median_f0_hz / lender.statistics.f0().0;
        for take in &lender.takes {
            made.push(take.iter().map(|frame| disguise(frame, invented, &own, &wanted, &key, ratio)).collect());
        }
    }
    let voice_options = CloneOptions {
        name: invented.name.to_owned(),
        description: invented.description.to_owned(),
        languages: vec!["en".to_owned()],
        author: "Coffre".to_owned(),
        licence: "CC-BY-4.0".to_owned(),
        attribution:
            "Built from LibriSpeech (c) 2014 by Vassil Panayotov, CC BY 4.0: statistics of excerpts of several \
                      speakers, mixed and changed"
                .to_owned(),
        consent: Some(Consent {
            ground: ConsentGround::LicensedData,
            statement: "Invented from recordings of several readers published under CC BY 4.0; no one person's voice"
                .to_owned(),
            date: None,
            recordings_sha256: None,
        }),
        bandwidth_hz: Some(POPULATION_BAND_HZ),
        ..CloneOptions::default()
    };
    let bytes = voice_from_features(&mut made, encoder.space(), &voice_options).context("no voice came of it")?;
    new_file::write(
        &options.models.join("voices").join(format!("{}.coffre", invented.file)),
        &bytes,
        Existing::Replace,
    )?;
    println!("{}\n  file         {} bytes\n", Voice::from_bytes(&bytes)?.describe(), bytes.len());
    Ok(())
}

fn lender(mut takes: Vec<Vec<FeatureFrame>>) -> Lender {
    if let Some(floor) = NoiseFloor::estimate(&takes) {
        takes.iter_mut().flatten().for_each(|frame| floor.remove(frame));
    }
    let mut statistics = SpeakerStatistics::new();
    for frame in takes.iter().flatten() {
        if statistics.is_active(frame.is_voiced(), frame.loudness) {
            statistics.push(frame.f0_hz, frame.loudness, &frame.shape(), frame.key.as_deref());
        }
    }
    Lender { takes, statistics }
}

fn mean_shapes(lenders: &[&Lender]) -> MeanShapes {
    let mut mean = MeanShapes { voiced: [0.0; ENV_BANDS], unvoiced: [0.0; ENV_BANDS] };
    let weight = 1.0 / lenders.len().max(1) as f32;
    for lender in lenders {
        let shapes = lender.statistics.shapes();
        mean.voiced.iter_mut().zip(shapes.voiced).for_each(|(sum, value)| *sum += weight * value);
        mean.unvoiced.iter_mut().zip(shapes.unvoiced).for_each(|(sum, value)| *sum += weight * value);
    }
    mean
}

/// A frame without its speaker: colour, throat, register and mean key are taken out or replaced.
fn disguise(
    frame: &FeatureFrame,
    invented: &Invented,
    own: &MeanShapes,
    wanted: &MeanShapes,
    mean_key: &[f32],
    ratio: f32,
) -> FeatureFrame {
    let (own, wanted) = match frame.is_voiced() {
        true => (&own.voiced, &wanted.voiced),
        false => (&own.unvoiced, &wanted.unvoiced),
    };
    let shape = frame.shape();
    let recoloured: [f32; ENV_BANDS] = std::array::from_fn(|band| shape[band] - own[band] + wanted[band]);
    let octave = |band: usize| (centre_hz(band).max(100.0) / TILT_PIVOT_HZ).log2();
    let envelope = std::array::from_fn(|band| {
        let position = band_from_hz(centre_hz(band) / invented.throat).clamp(0.0, (ENV_BANDS - 1) as f32);
        let (low, part) = ((position as usize).min(ENV_BANDS - 2), position.fract());
        let moved = recoloured[low] + part * (recoloured[low + 1] - recoloured[low]);
        // Decibels to natural-log power.
        frame.loudness + moved + invented.tilt_db * octave(band) * std::f32::consts::LN_10 / 10.0
    });
    let key = frame.key.as_deref().map(|key| Box::new(std::array::from_fn(|d| key[d] - mean_key[d])));
    FeatureFrame { f0_hz: frame.f0_hz * ratio, loudness: frame.loudness, envelope, key }
}
