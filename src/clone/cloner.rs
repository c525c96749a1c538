//! Takes recordings piece by piece and makes a voice of them: shared by the command line and the editor's job.
//!
//! The analysis runs on the caller's thread, the content encoder beside it on a thread of its own, so that two cores
//! share the work. Any partition into pieces gives the same voice. Off the audio thread only.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::check::room::Room;
use super::check::{Check, Evidence, spoken};
use super::features::{AnalysedFrame, FeatureExtractor, FeatureFrame, encode_with};
use super::improve::adapt::quick;
use super::{CloneError, CloneOptions, preview, voice_parts};
use crate::audio_file::flac_from_samples;
use crate::engine::ENGINE_RATE;
use crate::engine::content::ContentEncoder;
use crate::onnx::GraphError;
use crate::voice::{Extras, Voice};

/// Most audio that one voice is made of; anything after it is ignored. Bounds the memory to about 400 MB.
pub const MAX_SECONDS: usize = 1_800;

/// Pieces that may wait for the encoder.
const QUEUE: usize = 32;

/// Samples of digital silence between recordings that are kept: half a second.
const GAP_LEN: usize = ENGINE_RATE as usize / 2;

/// What goes to the encoder's thread.
enum Piece {
    Frames(Vec<AnalysedFrame>),
    NextTake,
}

/// Its results, one entry per recording.
#[derive(Debug, Default)]
struct Takes {
    frames: Vec<Vec<FeatureFrame>>,
    /// Class of the content encoder per frame; 0 without an encoder.
    phones: Vec<Vec<u8>>,
}

/// Recordings on their way into a voice.
#[derive(Debug)]
pub struct Cloner {
    extractor: FeatureExtractor,
    takes: Arc<Mutex<Takes>>,
    /// Way to the encoder; `None` once everything was sent.
    pieces: Option<SyncSender<Piece>>,
    thread: Option<JoinHandle<Result<(), GraphError>>>,
    space: String,
    phone_names: Vec<String>,
    room: Room,
    clipped: u64,
    /// All recordings at 48 kHz with gaps between them, for the preview and for keeping.
    samples: Vec<i16>,
    heard: usize,
    is_in_take: bool,
}

impl Cloner {
    /// Starts. Without an encoder the voice has average shapes only and no bank.
    ///
    /// # Errors
    /// [`CloneError::Thread`] if no thread can be started.
    pub fn new(encoder: Option<ContentEncoder>) -> Result<Self, CloneError> {
        let space = encoder.as_ref().map_or(String::new(), |encoder| encoder.space().to_owned());
        let phone_names = encoder.as_ref().map_or(Vec::new(), |encoder| encoder.phones().to_vec());
        let takes = Arc::new(Mutex::new(Takes::default()));
        let (pieces, inbox) = sync_channel(QUEUE);
        let thread = {
            let takes = takes.clone();
            let run = move || encode_pieces(&inbox, encoder, &takes);
            std::thread::Builder::new().name("coffre-encode".to_owned()).spawn(run)
        };
        Ok(Self {
            extractor: FeatureExtractor::new(),
            takes,
            pieces: Some(pieces),
            thread: Some(thread.map_err(|error| CloneError::Thread { reason: error.to_string() })?),
            space,
            phone_names,
            room: Room::default(),
            clipped: 0,
            samples: Vec::new(),
            heard: 0,
            is_in_take: false,
        })
    }

    /// Takes the next piece of the present recording: 48 kHz, mono.
    pub fn push(&mut self, samples: &[f32]) {
        let room = (MAX_SECONDS * ENGINE_RATE as usize).saturating_sub(self.heard);
        let samples = &samples[..samples.len().min(room)];
        if samples.is_empty() {
            return;
        }
        if !self.is_in_take {
            self.is_in_take = true;
            if self.heard > 0 {
                self.samples.resize(self.samples.len() + GAP_LEN, 0);
            }
            self.send(Piece::NextTake);
        }
        self.heard += samples.len();
        self.room.push(samples);
        self.samples.extend(samples.iter().map(|&sample| preview::to_i16(sample)));
        // In pieces of a second, so that the encoder has work early and nothing large waits for it.
        for part in samples.chunks(ENGINE_RATE as usize) {
            let mut frames = Vec::new();
            self.extractor.push(part, &mut frames);
            self.send(Piece::Frames(frames));
        }
    }

    /// Ends the present recording, in which `clipped` flat tops were found.
    pub fn end_take(&mut self, clipped: u64) {
        self.clipped += clipped;
        if std::mem::take(&mut self.is_in_take) {
            let mut frames = Vec::new();
            self.extractor.end(&mut frames);
            self.send(Piece::Frames(frames));
        }
    }

    /// Seconds of recordings taken so far.
    pub fn seconds(&self) -> f32 {
        self.heard as f32 / ENGINE_RATE as f32
    }

    /// Whether [`MAX_SECONDS`] are reached: nothing more is heard.
    pub fn is_full(&self) -> bool {
        self.heard >= MAX_SECONDS * ENGINE_RATE as usize
    }

    /// The check of what has passed the encoder so far.
    pub fn check(&self) -> Check {
        self.measure(&lock(&self.takes))
    }

    fn measure(&self, takes: &Takes) -> Check {
        Check::measure(&Evidence {
            takes: &takes.frames,
            phones: &takes.phones,
            phone_names: &self.phone_names,
            room: &self.room,
            clipped: self.clipped,
        })
    }

    /// Waits for the encoder and checks everything: afterwards the voice can be made.
    ///
    /// # Errors
    /// [`CloneError::Graph`] when the content encoder failed.
    pub fn analyse(mut self) -> Result<Analysed, CloneError> {
        self.end_take(0);
        // The encoder's thread ends when its queue does.
        self.pieces = None;
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| CloneError::Thread { reason: "the content encoder ended suddenly".into() })??;
        }
        let takes = std::mem::take(&mut *lock(&self.takes));
        let check = self.measure(&takes);
        Ok(Analysed { takes: takes.frames, phones: takes.phones, space: self.space, samples: self.samples, check })
    }

    fn send(&self, piece: Piece) {
        if let Some(pieces) = &self.pieces {
            // An encoder that failed has hung up; `analyse` says why.
            let _ = pieces.send(piece);
        }
    }
}

/// Recordings that can become a voice.
#[derive(Debug)]
pub struct Analysed {
    takes: Vec<Vec<FeatureFrame>>,
    phones: Vec<Vec<u8>>,
    space: String,
    samples: Vec<i16>,
    /// The check of all recordings.
    pub check: Check,
}

impl Analysed {
    /// How far the voice of a sentence that was read aloud lies from that of these recordings; `None` when too little was
    /// read. See [`spoken`].
    pub fn spoken_distance(&self, sentence: &Self) -> Option<f32> {
        let frames = |side: &Self| spoken::voiced_frames(&side.takes, &side.phones);
        spoken::distance(&frames(self), &frames(sentence))
    }

    /// The recordings as a voice file can keep them: FLAC at 48 kHz.
    ///
    /// # Errors
    /// [`CloneError::Audio`] with the reason.
    pub fn recordings(&self) -> Result<Vec<u8>, CloneError> {
        flac_from_samples(&self.samples, ENGINE_RATE).map_err(|reason| CloneError::Audio { reason })
    }

    /// Makes the voice file. Takes two to three seconds for a minute of speech: the refiner is adapted to the voice.
    ///
    /// # Errors
    /// [`CloneError`] with the reason.
    pub fn make(mut self, options: &CloneOptions) -> Result<Vec<u8>, CloneError> {
        let audio = |reason: String| CloneError::Audio { reason };
        let preview = match options.has_preview {
            true => preview::make(&self.samples, &self.takes).transpose().map_err(audio)?,
            false => None,
        };
        let recordings = match options.keeps_recordings {
            true => Some(self.recordings()?),
            false => None,
        };
        let extras = Extras { preview, recordings, portrait: options.portrait.clone() };
        let (manifest, mut parts) = voice_parts(&mut self.takes, &self.space, options)?;
        if !parts.bank.is_empty() {
            // Without it mix mode is less adapted to the voice; the voice works all the same.
            parts.adaptation = quick::adaptation(&parts.shapes, manifest.median_f0_hz, &self.samples).ok();
        }
        Ok(Voice::write_with(manifest, &parts, extras, options.signer.as_ref())?)
    }
}

/// The encoder's thread: runs until the queue ends or the encoder fails.
fn encode_pieces(
    inbox: &Receiver<Piece>,
    mut encoder: Option<ContentEncoder>,
    takes: &Mutex<Takes>,
) -> Result<(), GraphError> {
    if let Some(encoder) = &mut encoder {
        encoder.reset();
    }
    while let Ok(piece) = inbox.recv() {
        let Piece::Frames(analysed) = piece else {
            let mut takes = lock(takes);
            takes.frames.push(Vec::new());
            takes.phones.push(Vec::new());
            continue;
        };
        let (mut frames, mut phones) = (Vec::new(), Vec::new());
        encode_with(&analysed, encoder.as_mut(), |frame, phone| {
            frames.push(frame);
            // There are 40 classes.
            phones.push(u8::try_from(phone.unwrap_or(0)).unwrap_or(0));
        })?;
        let mut takes = lock(takes);
        if let Some(take) = takes.frames.last_mut() {
            take.append(&mut frames);
        }
        if let Some(take) = takes.phones.last_mut() {
            take.append(&mut phones);
        }
    }
    Ok(())
}

fn lock(takes: &Mutex<Takes>) -> MutexGuard<'_, Takes> {
    // Every critical section leaves whole frames behind.
    takes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::tests::vowel;

    fn make(pieces: usize) -> (Vec<u8>, Check) {
        let mut cloner = Cloner::new(None).expect("a thread");
        for (f0_hz, seconds) in [(200.0, 4.0), (230.0, 3.0)] {
            vowel(f0_hz, seconds).chunks(pieces).for_each(|piece| cloner.push(piece));
            cloner.end_take(1);
        }
        let options = CloneOptions { name: "Vowel".into(), has_preview: true, ..CloneOptions::default() };
        let analysed = cloner.analyse().expect("no encoder that could fail");
        let check = analysed.check.clone();
        (analysed.make(&options).expect("enough voice"), check)
    }

    #[test]
    fn pieces_make_the_same_voice_and_the_check_sees_all_of_it() {
        let (whole, check) = make(1 << 20);
        assert!((check.seconds - 7.0).abs() < 0.05 && check.voiced_seconds > 4.5, "{check:?}");
        assert_eq!(check.phone_coverage, None);
        for pieces in [999, 48_000] {
            assert!(make(pieces) == (whole.clone(), check.clone()), "in pieces of {pieces}");
        }
        let voice = Voice::from_bytes(&whole).expect("readable");
        // The median is known to a quarter of a semitone.
        let resolution = 0.125_f32 / 12.0;
        let range = 200.0 * (-resolution).exp2()..=230.0 * resolution.exp2();
        assert!(range.contains(&voice.median_f0_hz()), "{}", voice.median_f0_hz());
        assert!(crate::voice::Package::open(&whole).expect("readable").has("preview.flac"));
    }

    #[test]
    fn more_than_the_limit_is_not_heard() {
        let mut cloner = Cloner::new(None).expect("a thread");
        cloner.heard = MAX_SECONDS * ENGINE_RATE as usize - 100;
        cloner.push(&[0.1; 5_000]);
        assert!(cloner.is_full());
        assert_eq!(cloner.samples.len(), 100 + GAP_LEN);
    }
}
