//! The chosen voice in the window: its picture or its initial, and listening to a voice before using it.

use std::sync::Arc;

use coffre::bridge::session::SlotState;
use coffre::editor::listening::ListenState;
use coffre::editor::model::{Action, EditorModel};
use coffre::editor::portrait::{Picture, PortraitState, SIDE};
use coffre::editor::{DEFAULT_SIZE, LEAST_SIZE};
use egui::accesskit::Role;
use egui::{Key, Modifiers};

use super::stage::{Stage, lively, named, troubled};
use super::{assert_in_order, texts};

/// A library in which two voices can be listened to, of which one is chosen.
fn with_previews() -> EditorModel {
    let mut model = lively();
    let mut voices = model.voices.to_vec();
    (voices[0].has_preview, voices[1].has_preview, voices[1].has_portrait) = (true, true, true);
    model.voices = voices.into();
    model
}

fn says(stage: &mut Stage, wanted: &str) -> bool {
    let shapes = stage.frame(Vec::new()).shapes;
    texts(&shapes).iter().any(|(text, ..)| text.contains(wanted))
}

#[test]
fn only_a_voice_with_a_preview_can_be_listened_to() {
    let mut stage = Stage::new(with_previews(), DEFAULT_SIZE, 1.0);
    let nodes = stage.nodes();
    let buttons: Vec<&str> = nodes
        .iter()
        .filter(|(role, name, _)| *role == Role::Button && name.starts_with("Listen"))
        .map(|(_, name, _)| name.as_str())
        .collect();
    assert_eq!(buttons, ["Listen to Amber", "Listen to Birch", "Listen to Birch"]);
    // Without choosing it.
    let place = stage.place("Listen to Amber");
    stage.click(place);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::Listen(named("a1", "Amber"))]);
    let button = nodes.iter().rfind(|(_, name, _)| name == "Listen to Birch").unwrap().2.center();
    stage.click(button);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::Listen(named("b2", "Birch"))]);
    stage.model = lively();
    assert!(!stage.nodes().iter().any(|(_, name, _)| name.starts_with("Listen")));
}

#[test]
fn what_is_heard_is_named_and_stops_on_a_click() {
    for (heard, stop) in
        [(("a1", "Amber"), "Stop the preview of Amber"), (("b2", "Birch"), "Stop the preview of Birch")]
    {
        let mut model = with_previews();
        model.listening = ListenState { voice: Some(named(heard.0, heard.1)), note: String::new() };
        let mut stage = Stage::new(model, LEAST_SIZE, 1.0);
        assert!(says(&mut stage, &format!("Listening to {}", heard.1)));
        assert_in_order(&mut stage, stop);
        let place = stage.place(stop);
        stage.click(place);
        assert_eq!(std::mem::take(&mut stage.actions), [Action::StopListening]);
    }
}

#[test]
fn why_nothing_is_heard_is_said_in_the_window() {
    let mut model = with_previews();
    model.listening.note = "The host rests. Press play, then listen.".into();
    for size in [LEAST_SIZE, DEFAULT_SIZE] {
        let mut stage = Stage::new(model.clone(), size, 1.0);
        stage.place("Birch. The host rests. Press play, then listen.");
        // It has room for all of it.
        assert!(says(&mut stage, "The host rests. Press play, then listen."));
        assert_in_order(&mut stage, "a note");
    }
}

#[test]
fn the_keyboard_reaches_both_ways_to_listen() {
    let mut stage = Stage::new(with_previews(), DEFAULT_SIZE, 1.0);
    let mut heard = Vec::new();
    for _ in 0..80 {
        stage.key(Key::Tab, Modifiers::NONE);
        let update = stage.frame(Vec::new()).platform_output.accesskit_update.unwrap();
        let Some((_, node)) = update.nodes.iter().find(|(id, _)| *id == update.focus) else { continue };
        if node.label().is_some_and(|name| name.starts_with("Listen")) {
            stage.key(Key::Enter, Modifiers::NONE);
            heard.append(&mut stage.actions);
        }
    }
    let [amber, birch] = [named("a1", "Amber"), named("b2", "Birch")].map(Action::Listen);
    assert!(heard.contains(&amber) && heard.iter().filter(|action| **action == birch).count() >= 2, "{heard:?}");
}

/// The mean colour of the picture's place.
fn portrait_colour(stage: &mut Stage) -> [f32; 3] {
    stage.rest(2);
    let name = stage.nodes().into_iter().find(|(role, name, _)| *role == Role::Status && name.starts_with("Birch."));
    let text = name.expect("the chosen voice").2;
    let picture = stage.picture();
    // Left of the text, clear of the disc's edge and of a letter in its middle.
    let (x, y) = (text.left() as usize - 30, text.center().y as usize + 12);
    [0, 1, 2].map(|channel| picture.pixels[y * picture.width + x][channel])
}

#[test]
fn a_portrait_is_shown_and_without_one_the_initial() {
    let mut stage = Stage::new(with_previews(), DEFAULT_SIZE, 1.0);
    // The letter of voice B is there in any case.
    let letters = |stage: &mut Stage| {
        let shapes = stage.frame(Vec::new()).shapes;
        texts(&shapes).iter().filter(|(text, ..)| text == "B").count()
    };
    assert_eq!(letters(&mut stage), 2, "the initial");
    let neutral = portrait_colour(&mut stage);
    assert!(neutral.iter().all(|channel| *channel < 0.3), "{neutral:?}");
    let rgba: Arc<[u8]> = [20, 220, 120, 255].repeat(SIDE * SIDE).into();
    stage.model.portrait = PortraitState::Shown(Picture { id: "b2".into(), rgba });
    let shown = portrait_colour(&mut stage);
    assert!(shown[1] > 0.8 && shown[0] < 0.2, "{shown:?}");
    assert_eq!(letters(&mut stage), 1);
    assert_in_order(&mut stage, "portrait");
    // Another one takes its place, and one of another voice is not shown.
    let rgba: Arc<[u8]> = [220, 20, 20, 255].repeat(SIDE * SIDE).into();
    stage.model.portrait = PortraitState::Shown(Picture { id: "a1".into(), rgba });
    assert_eq!(portrait_colour(&mut stage), neutral);
    stage.model.portrait = PortraitState::Refused("b2".into(), "The picture makes no sense.".into());
    assert_eq!(portrait_colour(&mut stage), neutral);
    assert!(says(&mut stage, "The picture makes no sense."));
}

#[test]
fn the_voice_panel_is_in_order_with_and_without_a_voice() {
    for size in [LEAST_SIZE, DEFAULT_SIZE, (890.0, 1200.0)] {
        for (what, mut model) in
            [("previews", with_previews()), ("troubled", troubled()), ("empty", EditorModel::default())]
        {
            let mut stage = Stage::new(model.clone(), size, 1.0);
            assert_in_order(&mut stage, &format!("{what} at {size:?}"));
            model.slots[0] = Some(named("z9", "Zoë"));
            model.slot_states[0] = SlotState::Missing;
            stage.model = model;
            assert!(says(&mut stage, "Not on this computer"));
            if let Some(folder) = std::env::var_os("COFFRE_EDITOR_PICTURES") {
                let file = std::path::Path::new(&folder).join(format!("listen-{what}-{}.ppm", size.0));
                stage.model.slots[0] = Some(named("b2", "Birch"));
                stage.rest(2);
                stage.picture().save(&file).unwrap();
            }
        }
    }
}
