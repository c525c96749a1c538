//! The editor's cloning panel, and where the origin of a voice is stated.

use super::*;
use coffre::clone::check::spoken;
use coffre::clone::improve::job::{ImproveState, Stage as ImproveStage};
use coffre::editor::dialog::Purpose;

/// Pictures for a person to look at; also proves that the whole is drawn at two densities.
/// The lively editor with the cloning panel open at a stage of its job.
pub fn cloning(stage: Option<CloneStage>, size: (f32, f32)) -> Stage {
    let mut model = lively();
    let check = Check {
        seconds: 42.0,
        usable_seconds: 31.0,
        voiced_seconds: 24.0,
        snr_db: Some(27.0),
        clipped_per_minute: 31.0,
        decay_s: Some(0.7),
        tonal_pauses: Some(0.1),
        speaker_distance: Some(0.4),
        median_f0_hz: 165.0,
        range_hz: [125.0, 217.0],
        phone_coverage: Some(0.8),
        missing_phones: ["AW", "JH", "OY", "TH", "ZH"].map(str::to_owned).to_vec(),
        line: Some("Joy could hear the thunder while the children slept in the warm house."),
    };
    model.clone = stage.map(|stage| JobState { stage, progress: 0.6, check, spoken: None });
    let mut stage = Stage::new(model, size, 1.0);
    let place = stage.place("Clone");
    stage.click(place);
    stage.rest(3);
    stage
}

#[test]
fn cloning_asks_whose_voice_it_is_before_anything_is_made() {
    let mut stage = cloning(None, DEFAULT_SIZE);
    let place = stage.place("Path of the recordings");
    stage.click(place);
    stage.write("/tmp/kate.wav");
    stage.key(Key::Enter, Modifiers::NONE);
    assert_eq!(stage.actions, [Action::StartClone(vec!["/tmp/kate.wav".into()])]);

    let mut stage = cloning(Some(CloneStage::Ready), DEFAULT_SIZE);
    let make = stage.place("Make the voice");
    stage.click(make);
    assert_eq!(stage.actions, [], "neither name nor ground is given");
    let place = stage.place("Name of the voice");
    stage.click(place);
    stage.write("Kate");
    stage.click(make);
    assert_eq!(stage.actions, [], "no ground is chosen beforehand");
    let place = stage.place("They agreed in writing");
    stage.click(place);
    stage.click(make);
    assert_eq!(stage.actions, [], "words are needed");
    let place = stage.place("Who agreed");
    stage.click(place);
    stage.write("Kate, on paper");
    stage.click(make);
    let answers = Answers {
        name: "Kate".into(),
        ground: Some(ConsentGround::WrittenConsent),
        statement: "Kate, on paper".into(),
        keeps_recordings: true,
    };
    assert_eq!(stage.actions, [Action::MakeVoice(answers)]);
    stage.actions.clear();
    let place = stage.place("Close");
    stage.click(place);
    assert_eq!(stage.actions, [Action::CancelClone]);
}

#[test]
fn the_origin_of_a_voice_can_be_stated() {
    let mut model = lively();
    let unknown = |name: &str| VoiceChoice { voice: named("x", name), ..VoiceChoice::default() };
    model.voices = [unknown("Mystery")].into();
    let mut stage = Stage::new(model, LEAST_SIZE, 1.0);
    let place = stage.place("State the origin of Mystery");
    stage.click(place);
    stage.rest(2);
    assert_in_order(&mut stage, "origin");
    let write = stage.place("Write into the file");
    stage.click(write);
    assert_eq!(stage.actions, [], "nothing is chosen beforehand");
    let place = stage.place("A licence allows it");
    stage.click(place);
    stage.click(write);
    assert_eq!(stage.actions, [], "words are needed");
    let place = stage.place("Where are the recordings from");
    stage.click(place);
    stage.write("CC0, by their speaker");
    stage.click(write);
    let words = "CC0, by their speaker".to_owned();
    let wanted = Action::StateOrigin(named("x", "Mystery"), ConsentGround::LicensedData, words);
    assert_eq!(std::mem::take(&mut stage.actions), [wanted]);
    // The panel has closed, and choosing the voice still works beside the mark.
    let place = stage.place("Mystery") + vec2(0.0, 20.0);
    stage.click(place);
    assert_eq!(stage.actions, [Action::PutVoice(0, named("x", "Mystery"))]);
}

#[test]
fn the_track_is_recorded_on_request_and_only_while_the_host_runs() {
    let mut stage = cloning(None, DEFAULT_SIZE);
    let place = stage.place("Record 30 s");
    stage.model.reading.host_rate = 0;
    stage.click(place);
    assert_eq!(stage.actions, []);
    stage.model.reading.host_rate = 44_100;
    stage.click(place);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::StartCapture]);
    let mut stage = cloning(Some(CloneStage::Recording), DEFAULT_SIZE);
    let shapes = stage.frame(Vec::new()).shapes;
    assert!(texts(&shapes).iter().any(|(text, ..)| text == "Recording… 18 of 30 s"));
    let place = stage.place("Enough");
    stage.click(place);
    assert_eq!(stage.actions, [Action::EndCapture]);
}

#[test]
fn the_cloning_panel_is_in_order_at_every_stage() {
    let done = CloneStage::Done { name: "Kate".into(), id: VoiceId::of(b"kate") };
    let failed = CloneStage::Failed("kate.wav is not a WAV or FLAC file that can be read. Convert it first".into());
    let stages = [
        ("listening", CloneStage::Listening),
        ("recording", CloneStage::Recording),
        ("ready", CloneStage::Ready),
        ("speaking", CloneStage::Speaking),
        ("making", CloneStage::Making),
    ];
    let stages = stages.into_iter().chain([("done", done), ("failed", failed)]).map(|(what, s)| (what, Some(s)));
    for (what, job) in stages.chain([("choose", None)]) {
        for size in [LEAST_SIZE, DEFAULT_SIZE] {
            let mut stage = cloning(job.clone(), size);
            assert_in_order(&mut stage, &format!("{what} at {size:?}"));
            if let Some(folder) = std::env::var_os("COFFRE_EDITOR_PICTURES") {
                let file = std::path::Path::new(&folder).join(format!("clone-{what}-{}.ppm", size.0));
                stage.picture().save(&file).unwrap();
            }
        }
    }
}

#[test]
fn files_are_chosen_in_the_systems_window_one_at_a_time() {
    let mut stage = cloning(None, LEAST_SIZE);
    for (button, purpose) in [("Choose…", Purpose::Recordings), ("Import…", Purpose::Voices)] {
        let place = stage.place(button);
        stage.click(place);
        assert_eq!(std::mem::take(&mut stage.actions), [Action::ChooseFiles(purpose)]);
    }
    stage.model.is_choosing = true;
    let place = stage.place("Import…");
    stage.click(place);
    assert_eq!(stage.actions, []);
    stage.model.is_choosing = false;
    stage.model.imported = Some(("Kate is in your voices.\nbad.pth: this is no checkpoint.".into(), false));
    assert_in_order(&mut stage, "imported");
    let shapes = stage.frame(Vec::new()).shapes;
    assert!(texts(&shapes).iter().any(|(text, ..)| text.contains("bad.pth")));
}

#[test]
fn the_own_voice_can_be_checked_by_a_sentence() {
    let mut stage = cloning(Some(CloneStage::Ready), DEFAULT_SIZE);
    let sentence = |stage: &mut Stage| {
        let shapes = stage.frame(Vec::new()).shapes;
        texts(&shapes).iter().any(|(text, ..)| text.contains(spoken::SENTENCE))
    };
    assert!(!sentence(&mut stage), "only the own voice is asked for it");
    let place = stage.place("My own voice");
    stage.click(place);
    assert!(sentence(&mut stage));
    assert_in_order(&mut stage, "sentence");
    let read = stage.place("Read it aloud");
    stage.model.reading.host_rate = 0;
    stage.click(read);
    assert_eq!(stage.actions, [], "no audio, nothing to hear");
    stage.model.reading.host_rate = 48_000;
    stage.click(read);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::HearSentence]);
    let job = stage.model.clone.as_mut().expect("a job");
    (job.stage, job.progress) = (CloneStage::Speaking, 0.4);
    assert_in_order(&mut stage, "speaking");
    let place = stage.place("Enough");
    stage.click(place);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::EndCapture]);
    for distance in [None, Some(0.4), Some(0.8), Some(1.4)] {
        let finding = spoken::finding(distance);
        let job = stage.model.clone.as_mut().expect("a job");
        (job.stage, job.spoken) = (CloneStage::Ready, Some(finding.clone()));
        assert_in_order(&mut stage, &finding.text);
        stage.place(&finding.text[..24]);
    }
    // Whatever it says, the voice can be made.
    let place = stage.place("Name of the voice");
    stage.click(place);
    stage.write("Me");
    let make = stage.place("Make the voice");
    stage.click(make);
    assert!(matches!(stage.actions.as_slice(), [Action::MakeVoice(answers)] if answers.name == "Me"));
}

#[test]
fn a_voice_is_improved_and_compared_in_the_panel() {
    let mut stage = cloning(None, LEAST_SIZE);
    let improve = stage.place("Improve");
    let voice = stage.model.slots[0].clone().expect("a voice in the first slot");
    stage.click(improve);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::Improve(voice.clone())]);
    stage.model.slots[0].as_mut().expect("a voice").engine = coffre::engine::EngineId::Rvc;
    stage.click(improve);
    assert_eq!(stage.actions, [], "RVC voices are not improved");
    stage.model.slots[0] = Some(voice.clone());

    let state = |stage| ImproveState { name: voice.name.clone(), stage, progress: 0.4 };
    stage.model.improve = Some(state(ImproveStage::Working));
    assert_in_order(&mut stage, "improving");
    let place = stage.place("Stop");
    stage.click(place);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::EndImprove]);
    let (from, id) = (VoiceId::of(b"old"), VoiceId::of(b"new"));
    let done = ImproveStage::Done { name: "Better".into(), id, from, not_adapted: None };
    stage.model.improve = Some(state(done));
    stage.model.slots[0] = Some(named(&from.to_string(), &voice.name));
    assert_in_order(&mut stage, "improved");
    let place = stage.place("A: before, heard");
    stage.click(place);
    assert_eq!(stage.actions, [], "it is heard already");
    let place = stage.place("B: improved");
    stage.click(place);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::PutVoice(0, named(&id.to_string(), "Better"))]);
    stage.model.improve = Some(state(ImproveStage::Failed("The disk is full.".into())));
    assert_in_order(&mut stage, "failed");
}
