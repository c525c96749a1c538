//! The device of RVC voices in the window: chosen from the status line, with the truth about what runs.

use coffre::bridge::{DeviceChoice, DeviceKind};
use coffre::editor::model::{Action, EditorModel};
use coffre::editor::{DEFAULT_SIZE, LEAST_SIZE};
use egui::accesskit::Role;
use egui::{Key, Modifiers};

use super::stage::{Stage, lively};
use super::{assert_in_order, texts};

fn with_choice() -> EditorModel {
    let kind = |word: &str, title: &str| DeviceKind { word: word.into(), title: title.into() };
    EditorModel {
        device_choice: DeviceChoice {
            kinds: vec![
                kind("cpu", "CPU"),
                kind("webgpu", "graphics card (WebGPU)"),
                kind("cuda", "NVIDIA graphics card (CUDA)"),
            ],
            chosen: "cpu".into(),
            ..DeviceChoice::default()
        },
        ..lively()
    }
}

fn says(stage: &mut Stage, wanted: &str) -> bool {
    let shapes = stage.frame(Vec::new()).shapes;
    texts(&shapes).iter().any(|(text, ..)| text.contains(wanted))
}

/// The window with its choice open.
fn open(model: EditorModel, size: (f32, f32)) -> Stage {
    let mut stage = Stage::new(model, size, 1.0);
    let place = stage.place("Device: CPU");
    stage.click(place);
    stage.rest(3);
    stage
}

#[test]
fn another_device_is_chosen_in_the_status_line() {
    for size in [LEAST_SIZE, DEFAULT_SIZE] {
        let mut stage = open(with_choice(), size);
        assert!(says(&mut stage, "Not tried yet"));
        let place = stage.place("CPU");
        stage.click(place);
        assert_eq!(stage.actions, [], "it is chosen already");
        let place = stage.place("Graphics card (WebGPU)");
        stage.click(place);
        assert_eq!(std::mem::take(&mut stage.actions), [Action::ChooseDevice("webgpu".into())]);
        let window = egui::Rect::from_min_size(egui::Pos2::ZERO, stage.size);
        let nodes = stage.nodes();
        let radios: Vec<_> =
            nodes.iter().filter(|(role, name, _)| *role == Role::RadioButton && name.contains("card (")).collect();
        assert!(radios.len() == 2 && radios.iter().all(|radio| window.contains_rect(radio.2)), "{radios:?}");
        if let Some(folder) = std::env::var_os("COFFRE_EDITOR_PICTURES") {
            let file = std::path::Path::new(&folder).join(format!("device-{}.ppm", size.0));
            stage.picture().save(&file).unwrap();
        }
    }
}

#[test]
fn a_fallback_is_told_with_its_reason() {
    let mut model = with_choice();
    model.device_choice.chosen = "webgpu".into();
    model.device_choice.runs_on = "CPU".into();
    model.device_choice.reason = "WebGPU was chosen, and no graphics card was found that it can use".into();
    let mut stage = open(model, DEFAULT_SIZE);
    assert!(says(&mut stage, "Runs on: CPU"));
    assert!(says(&mut stage, "no graphics card was found"));
}

#[test]
fn the_variable_decides_where_it_is_set() {
    let mut model = with_choice();
    model.device_choice.fixed_by = "COFFRE_DEVICE".into();
    let mut stage = open(model, DEFAULT_SIZE);
    assert!(says(&mut stage, "COFFRE_DEVICE decides"));
    let place = stage.place("Graphics card (WebGPU)");
    stage.click(place);
    assert_eq!(stage.actions, []);
}

#[test]
fn the_keyboard_opens_the_choice_and_chooses() {
    let mut stage = Stage::new(with_choice(), DEFAULT_SIZE, 1.0);
    let focus = |stage: &mut Stage| {
        let update = stage.frame(Vec::new()).platform_output.accesskit_update.unwrap();
        let node = update.nodes.iter().find(|(id, _)| *id == update.focus);
        node.and_then(|(_, node)| node.label().or(node.value()).map(str::to_owned)).unwrap_or_default()
    };
    let tab_to = |stage: &mut Stage, name: &str| {
        for _ in 0..90 {
            stage.key(Key::Tab, Modifiers::NONE);
            if focus(stage) == name {
                return;
            }
        }
        panic!("{name} is not reached by Tab");
    };
    tab_to(&mut stage, "Device: CPU");
    stage.key(Key::Enter, Modifiers::NONE);
    stage.rest(2);
    tab_to(&mut stage, "Graphics card (WebGPU)");
    stage.key(Key::Space, Modifiers::NONE);
    assert_eq!(stage.actions, [Action::ChooseDevice("webgpu".into())]);
}

#[test]
fn the_status_line_stays_in_order() {
    let mut stage = Stage::new(with_choice(), LEAST_SIZE, 1.0);
    assert_in_order(&mut stage, "a choice");
    stage.model = EditorModel::default();
    assert!(!stage.nodes().iter().any(|(_, name, _)| name.starts_with("Device")));
}
