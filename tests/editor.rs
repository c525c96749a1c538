//! The editor without a window: what it says, what it does on mouse and keyboard, that nothing overlaps or is cut off
//! at any size, and that no model makes it panic. `COFFRE_EDITOR_PICTURES=<folder>` keeps pictures of it.
#![cfg(feature = "plugin")]
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "editor/cloning.rs"]
mod cloning;
#[path = "editor/device.rs"]
mod device;
#[path = "editor/listening.rs"]
mod listening;
#[path = "editor/raster.rs"]
mod raster;
#[path = "editor/shown.rs"]
mod shown;
#[path = "editor/stage.rs"]
mod stage;

use coffre::bridge::session::VoiceChoice;
use coffre::bridge::telemetry::{ProfileState, Reading, RunState};
use coffre::clone::Check;
use coffre::clone::job::{Answers, JobState, Stage as CloneStage};
use coffre::editor::control::ControlAccess as _;
use coffre::editor::model::{Action, EditorModel};
use coffre::editor::trace::PitchPoint;
use coffre::editor::{DEFAULT_SIZE, LEAST_SIZE};
use coffre::parameter::Parameter;
use coffre::voice::{ConsentGround, VoiceId};
use egui::epaint::{ClippedShape, Shape};
use egui::{Event, Key, Modifiers, Rect, vec2};
use stage::{Deed, Stage, lively, named, troubled, voice};

/// Texts that may end in an ellipsis: what voices and people wrote, and remedies (told whole by their tooltip).
const MAY_BE_CUT: [&str; 8] = [
    "Warm low",
    "Clear, bright",
    "Round and calm",
    "Dry baritone",
    "Très long",
    "word word",
    "Grandmother",
    "Transpose and formant",
];

/// Every text on the screen with its place and its clip rectangle.
fn texts(shapes: &[ClippedShape]) -> Vec<(String, Rect, Rect)> {
    fn collect(shape: &Shape, clip: Rect, into: &mut Vec<(String, Rect, Rect)>) {
        match shape {
            Shape::Text(text) if !text.galley.text().trim().is_empty() => {
                let whole = text.galley.text();
                let may_be_cut =
                    MAY_BE_CUT.iter().any(|start| whole.contains(start)) || whole.contains("graphics card");
                assert!(!text.galley.elided || may_be_cut, "“{whole}” has no room");
                into.push((text.galley.text().to_owned(), text.visual_bounding_rect(), clip));
            }
            Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, clip, into)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    shapes.iter().for_each(|ClippedShape { clip_rect, shape, .. }| collect(shape, *clip_rect, &mut found));
    found
}

/// Fails on texts that leave their clip rectangle sideways, leave the window, or lie on each other.
fn assert_in_order(stage: &mut Stage, what: &str) {
    let shapes = stage.frame(Vec::new()).shapes;
    let window = Rect::from_min_size(egui::Pos2::ZERO, stage.size);
    let found = texts(&shapes);
    assert!(found.len() > 20, "{what}: only {} texts", found.len());
    for (index, (text, place, clip)) in found.iter().enumerate() {
        let cut = place.left() < clip.left() - 0.5 || place.right() > clip.right() + 0.5;
        assert!(!cut, "{what}: “{text}” at {place} is cut by {clip}");
        let seen = place.intersect(*clip);
        assert!(window.contains_rect(seen) || !seen.is_positive(), "{what}: “{text}” at {place} leaves the window");
        for (other, other_place, other_clip) in &found[index + 1..] {
            let both = seen.shrink(0.75).intersect(other_place.intersect(*other_clip).shrink(0.75));
            assert!(!both.is_positive(), "{what}: “{text}” {place} lies on “{other}” {other_place}");
        }
    }
}

#[test]
fn nothing_overlaps_or_is_cut_at_any_size() {
    let mut long = lively();
    let name = "Très long nom de voix ".repeat(8);
    long.voices = [voice("e5", &name, &"word ".repeat(60), [69.3, 932.3])].into();
    long.slots[0] = Some(named("e5", &name));
    long.device = "GPU: a graphics card with quite a long commercial name, second of two".into();
    long.reading.late_hops = 4321;
    let mut learned = lively();
    learned.reading.profile = ProfileState::Learned;
    for size in [LEAST_SIZE, DEFAULT_SIZE, (1100.0, 560.0), (890.0, 1200.0), (2400.0, 1500.0)] {
        for (what, model) in [
            ("lively", lively()),
            ("troubled", troubled()),
            ("long", long.clone()),
            ("learned", learned.clone()),
            ("empty", EditorModel::default()),
        ] {
            let mut stage = Stage::new(model, size, 1.0);
            stage.rest(12);
            assert_in_order(&mut stage, &format!("{what} at {size:?}"));
        }
    }
}

#[test]
fn no_model_makes_it_panic() {
    let mut wild = troubled();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 1e30, 0.0] {
        wild.reading = Reading {
            run: RunState::Stopped,
            host_rate: u32::from(value > 0.0),
            latency_samples: u32::MAX,
            late_hops: u64::MAX,
            load: value,
            input_peak: value,
            output_peak: value,
            profile: ProfileState::Learning(value),
            ..Reading::default()
        };
        wild.trace.push(PitchPoint { source_hz: value, output_hz: value });
        for size in [(1.0, 1.0), (300.0, 40.0), LEAST_SIZE, (6000.0, 4000.0)] {
            let mut stage = Stage::new(wild.clone(), size, 2.0);
            for control in Parameter::ALL {
                stage.controls.values.borrow_mut().insert(control, value);
            }
            stage.rest(3);
        }
    }
}

#[test]
fn ten_thousand_voices_are_drawn_as_fast_as_ten() {
    let mut model = lively();
    model.voices =
        (0..10_000).map(|i| voice(&format!("{i}"), &format!("Voice {i}"), "One of many", [110.0, 523.0])).collect();
    let mut stage = Stage::new(model, DEFAULT_SIZE, 1.0);
    let shapes = stage.frame(Vec::new()).shapes.len();
    let mut small = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let few = small.frame(Vec::new()).shapes.len();
    assert!(shapes < few + 120, "{shapes} shapes against {few}: rows out of sight are drawn");
}

#[test]
fn a_click_on_a_voice_puts_it_into_the_present_slot() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    stage.controls.values.borrow_mut().insert(Parameter::Voice, 3.0 / 15.0);
    let place = stage.place("Cedar");
    stage.click(place);
    assert_eq!(stage.actions, [Action::PutVoice(3, named("c3", "Cedar"))]);
}

#[test]
fn a_click_on_a_slot_moves_the_voice_parameter() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place("Slot 2:");
    stage.click(place);
    let expected =
        [Deed::Begin(Parameter::Voice), Deed::Set(Parameter::Voice, 1.0 / 15.0), Deed::End(Parameter::Voice)];
    assert_eq!(*stage.controls.deeds.borrow(), expected);
}

#[test]
fn voice_b_is_chosen_from_the_list_and_never_takes_the_place_of_voice_a() {
    let to_slot = |slot: f32| {
        let value = slot / 15.0;
        [Deed::Begin(Parameter::VoiceB), Deed::Set(Parameter::VoiceB, value), Deed::End(Parameter::VoiceB)]
    };
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place("B: 2");
    stage.click(place);
    // Into its own slot.
    let place = stage.place("Cedar");
    stage.click(place);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::PutVoice(1, named("c3", "Cedar"))]);
    // A slot that has the voice already.
    let place = stage.place("Birch");
    stage.click(place);
    assert_eq!(stage.controls.deeds.borrow_mut().split_off(0), to_slot(0.0));
    assert_eq!(stage.actions, []);
    // Both ends point at slot 1 now: a free one.
    let place = stage.place("Amber");
    stage.click(place);
    assert_eq!(std::mem::take(&mut stage.actions), [Action::PutVoice(2, named("a1", "Amber"))]);
    assert_eq!(stage.controls.deeds.borrow_mut().split_off(0), to_slot(2.0));
    let place = stage.place("Slot 9");
    stage.click(place);
    assert_eq!(*stage.controls.deeds.borrow(), to_slot(8.0));
    let place = stage.place("Empty slot of A");
    stage.click(place);
    assert_eq!(stage.actions, [Action::EmptySlot(0)]);
}

#[test]
fn the_header_names_both_voices_of_a_morph() {
    let mut stage = Stage::new(lively(), LEAST_SIZE, 1.0);
    stage.controls.values.borrow_mut().insert(Parameter::Morph, 0.4);
    let shapes = stage.frame(Vec::new()).shapes;
    assert!(texts(&shapes).iter().any(|(text, ..)| text == "Birch → Dune, 40 %"));
    assert_in_order(&mut stage, "morph");
    stage.controls.values.borrow_mut().insert(Parameter::VoiceB, 0.0);
    let shapes = stage.frame(Vec::new()).shapes;
    assert!(texts(&shapes).iter().any(|(text, ..)| text == "Birch"), "one voice in both ends");
}

#[test]
fn search_narrows_the_list_and_enter_takes_the_marked_voice() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place("Search for a voice");
    stage.click(place);
    stage.write("a");
    stage.write("m");
    let names: Vec<String> = stage.nodes().into_iter().map(|(_, name, _)| name).collect();
    assert!(names.iter().any(|name| name.starts_with("Amber")));
    // The chosen voice stays on its own strip; of the list's other rows none is left.
    assert!(!names.iter().any(|name| name.starts_with("Dune")), "{names:?}");
    stage.key(Key::Enter, Modifiers::NONE);
    assert_eq!(stage.actions, [Action::PutVoice(0, named("a1", "Amber"))]);
}

#[test]
fn escape_empties_the_search() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place("Search for a voice");
    stage.click(place);
    stage.write("amber");
    stage.key(Key::Escape, Modifiers::NONE);
    stage.rest(2);
    assert!(stage.nodes().iter().any(|(_, name, _)| name.starts_with("Dune")));
}

#[test]
fn arrow_keys_walk_through_the_found_voices() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place("Search for a voice");
    stage.click(place);
    stage.write("c");
    for key in [Key::ArrowDown, Key::ArrowDown, Key::ArrowDown, Key::ArrowUp, Key::Enter] {
        stage.key(key, Modifiers::NONE);
    }
    // “c” is in every licence; three down and one up end on the third.
    assert_eq!(stage.actions, [Action::PutVoice(0, named("c3", "Cedar"))]);
}

/// The knob of a control has the keyboard.
fn focused_knob(control: Parameter) -> Stage {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place(control.spec().name);
    // The middle of a knob's whole area is on its dial, never on its value.
    stage.click(place - vec2(0.0, 4.0));
    stage.controls.deeds.borrow_mut().clear();
    stage
}

#[test]
fn arrow_keys_turn_a_knob_and_shift_makes_them_fine() {
    let mut stage = focused_knob(Parameter::Transpose);
    stage.key(Key::ArrowUp, Modifiers::NONE);
    assert_eq!(stage.controls.present_text(Parameter::Transpose), "1 st");
    stage.key(Key::ArrowUp, Modifiers::SHIFT);
    assert_eq!(stage.controls.present_text(Parameter::Transpose), "1.1 st");
    stage.key(Key::PageDown, Modifiers::NONE);
    assert_eq!(stage.controls.present_text(Parameter::Transpose), "−8.9 st");
    stage.key(Key::End, Modifiers::NONE);
    assert_eq!(stage.controls.normalized(Parameter::Transpose), 1.0);
    stage.key(Key::Delete, Modifiers::NONE);
    assert_eq!(stage.controls.present_text(Parameter::Transpose), "0 st");
}

#[test]
fn a_typed_value_is_taken_and_a_wrong_one_is_not() {
    let mut stage = focused_knob(Parameter::Formant);
    stage.write("-");
    stage.write("2.5");
    stage.key(Key::Enter, Modifiers::NONE);
    assert_eq!(stage.controls.present_text(Parameter::Formant), "−2.5 st");
    stage.rest(2);
    stage.write("4");
    stage.write("x");
    stage.key(Key::Enter, Modifiers::NONE);
    assert_eq!(stage.controls.present_text(Parameter::Formant), "−2.5 st");
    stage.key(Key::Escape, Modifiers::NONE);
    assert_eq!(stage.controls.present_text(Parameter::Formant), "−2.5 st");
}

#[test]
fn a_drag_is_one_gesture_and_shift_makes_it_fine() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place("Mix") - vec2(0.0, 4.0);
    stage.point_at(place);
    stage.button(place, true);
    for step in 1..=11 {
        stage.point_at(place + vec2(0.0, 10.0 * step as f32));
    }
    let coarse = stage.controls.normalized(Parameter::Mix);
    assert!((coarse - 0.5).abs() < 0.03, "{coarse}");
    for step in 1..=11 {
        let to = place + vec2(0.0, 110.0 + 10.0 * step as f32);
        stage.frame_with(vec![Event::PointerMoved(to)], Modifiers::SHIFT);
    }
    let fine = stage.controls.normalized(Parameter::Mix);
    assert!((coarse - fine - 0.05).abs() < 0.01, "{coarse} then {fine}");
    stage.button(place + vec2(0.0, 220.0), false);
    let deeds = stage.controls.deeds.borrow();
    assert_eq!(deeds.first(), Some(&Deed::Begin(Parameter::Mix)));
    assert_eq!(deeds.last(), Some(&Deed::End(Parameter::Mix)));
    assert_eq!(deeds.iter().filter(|deed| matches!(deed, Deed::Begin(_) | Deed::End(_))).count(), 2);
}

#[test]
fn a_double_click_goes_back_to_the_default() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    stage.controls.values.borrow_mut().insert(Parameter::OutputGain, 0.9);
    let nodes = stage.nodes();
    let is_knob = |(role, name, _): &&(egui::accesskit::Role, String, Rect)| {
        *role == egui::accesskit::Role::Slider && name == "Output gain"
    };
    let place = nodes.iter().find(is_knob).unwrap().2.center() - vec2(0.0, 4.0);
    stage.point_at(place);
    for pressed in [true, false, true, false] {
        stage.button(place, pressed);
    }
    assert_eq!(stage.controls.present_text(Parameter::OutputGain), "0 dB");
}

#[test]
fn the_wheel_turns_the_knob_below_it() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let place = stage.place("Likeness");
    stage.point_at(place - vec2(0.0, 60.0));
    let before = stage.controls.normalized(Parameter::Likeness);
    stage.frame(vec![Event::MouseWheel {
        unit: egui::MouseWheelUnit::Line,
        delta: vec2(0.0, 2.0),
        modifiers: Modifiers::NONE,
        phase: egui::TouchPhase::Move,
        source: egui::MouseWheelSource::Unknown,
    }]);
    stage.rest(12);
    let after = stage.controls.normalized(Parameter::Likeness);
    assert!(after > before && after < before + 0.2, "{before} {after}");
    let deeds = stage.controls.deeds.borrow();
    let count = |begin: bool| deeds.iter().filter(|deed| matches!(deed, Deed::Begin(_)) == begin).count();
    assert_eq!(count(false), 2 * count(true), "every gesture begins, sets and ends: {deeds:?}");
}

#[test]
fn tab_reaches_every_control_and_each_has_a_name() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let mut seen = Vec::new();
    for _ in 0..70 {
        stage.key(Key::Tab, Modifiers::NONE);
        let update = stage.frame(Vec::new()).platform_output.accesskit_update.unwrap();
        let Some((_, node)) = update.nodes.iter().find(|(id, _)| *id == update.focus) else { continue };
        let name = node.label().or(node.value()).unwrap_or_default().to_owned();
        assert!(!name.is_empty(), "a focused {:?} has no name", node.role());
        seen.push(name);
    }
    for wanted in [
        "Transpose",
        "Formant",
        "Likeness",
        "Mix",
        "Input gain",
        "Output gain",
        "Gate",
        "Bypass",
        "Register: Octaves",
        "Latency mode: Live",
        "Watermark",
        "Morph",
        "B: 2 · Dune",
        "When late: Silence",
        "Slot 16: empty",
        "Search for a voice",
        "Stop",
    ] {
        assert!(seen.iter().any(|name| name == wanted), "“{wanted}” is not reached by Tab: {seen:#?}");
    }
}

#[test]
fn learning_is_shown_and_can_be_started_again() {
    let mut stage = Stage::new(lively(), DEFAULT_SIZE, 1.0);
    let shapes = stage.frame(Vec::new()).shapes;
    assert!(texts(&shapes).iter().any(|(text, ..)| text == "Learning the singer … 60 %"));
    let buttons = [
        (ProfileState::Nothing, "Learn", Action::LearnProfile),
        (ProfileState::Learning(0.6), "Stop", Action::ClearProfile),
        (ProfileState::Learned, "Learn again", Action::LearnProfile),
        (ProfileState::Learned, "Clear", Action::ClearProfile),
    ];
    for (profile, button, action) in buttons {
        stage.model.reading.profile = profile;
        let nodes = stage.nodes();
        let place = nodes.iter().find(|(_, name, _)| name == button).unwrap().2.center();
        stage.click(place);
        assert_eq!(stage.actions.pop(), Some(action));
    }
}

#[test]
fn a_watermark_that_is_off_is_said_plainly() {
    let mut stage = Stage::new(lively(), LEAST_SIZE, 1.0);
    let says_off = |stage: &mut Stage| {
        let shapes = stage.frame(Vec::new()).shapes;
        texts(&shapes).iter().any(|(text, ..)| text == "Watermark off")
    };
    assert!(!says_off(&mut stage));
    let place = stage.place("Watermark");
    stage.click(place);
    let expected =
        [Deed::Begin(Parameter::Watermark), Deed::Set(Parameter::Watermark, 0.0), Deed::End(Parameter::Watermark)];
    assert_eq!(*stage.controls.deeds.borrow(), expected);
    assert!(says_off(&mut stage));
    assert_in_order(&mut stage, "watermark off");
    // Also while one clones.
    let place = stage.place("Clone");
    stage.click(place);
    assert!(says_off(&mut stage));
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let mut stage = Stage::new(troubled(), DEFAULT_SIZE, 1.0);
    let said = |stage: &mut Stage| -> String {
        let shapes = stage.frame(Vec::new()).shapes;
        texts(&shapes).into_iter().map(|(text, ..)| text + "\n").collect()
    };
    assert!(said(&mut stage).contains("The part that understands singing is missing."));
    let place = stage.place("1 of 3");
    stage.click(place);
    assert!(
        said(&mut stage).contains("Grandmother's kitchen radio, take 7 (final)” of slot 1 is not on this computer.")
    );
    let place = stage.place("Late 37 times") + vec2(0.0, 0.0);
    stage.click(place);
    assert_eq!(stage.actions, [Action::ForgetLateHops]);
}

#[test]
fn an_empty_library_says_where_voices_go() {
    let model = EditorModel { voices_folder: "/home/me/voices".into(), ..EditorModel::default() };
    let mut stage = Stage::new(model, DEFAULT_SIZE, 1.0);
    let shapes = stage.frame(Vec::new()).shapes;
    assert!(texts(&shapes).iter().any(|(text, ..)| text.contains("/home/me/voices")));
    stage.model.voices = [VoiceChoice { voice: named("a", "Amber"), ..VoiceChoice::default() }].into();
    let place = stage.place("Search for a voice");
    stage.click(place);
    stage.write("zzz");
    let shapes = stage.frame(Vec::new()).shapes;
    assert!(texts(&shapes).iter().any(|(text, ..)| text == "Nothing matches “zzz”"));
}

#[test]
fn pictures_are_drawn_at_one_and_two_pixels_per_point() {
    let folder = std::env::var_os("COFFRE_EDITOR_PICTURES").map(std::path::PathBuf::from);
    let mut learned = lively();
    learned.reading.profile = ProfileState::Learned;
    let unmarked = learned.clone();
    let scenes = [
        ("lively", lively(), DEFAULT_SIZE),
        ("troubled", troubled(), LEAST_SIZE),
        ("empty", EditorModel::default(), DEFAULT_SIZE),
        ("learned", learned, (1280.0, 800.0)),
        ("unmarked", unmarked, LEAST_SIZE),
    ];
    for (name, model, size) in scenes {
        for scale in [1.0, 2.0] {
            let mut stage = Stage::new(model.clone(), size, scale);
            if name == "lively" && scale > 1.0 {
                let place = stage.place("Search for a voice");
                stage.click(place);
                stage.write("a");
                let place = stage.place("Formant") - vec2(0.0, 4.0);
                stage.click(place);
                stage.write("-2.5");
            }
            if name == "unmarked" {
                stage.controls.values.borrow_mut().insert(Parameter::Morph, 0.4);
                stage.controls.values.borrow_mut().insert(Parameter::Watermark, 0.0);
            }
            if name == "learned" {
                stage.controls.values.borrow_mut().insert(Parameter::Transpose, 0.75);
                stage.controls.values.borrow_mut().insert(Parameter::Bypass, 1.0);
            }
            stage.rest(20);
            let picture = stage.picture();
            assert_eq!(picture.width, (size.0 * scale) as usize);
            let bright = picture.pixels.iter().filter(|pixel| pixel[0] > 0.7).count();
            assert!(bright > 1000, "{name}: {bright} bright pixels");
            if let Some(folder) = &folder {
                picture.save(&folder.join(format!("{name}-{scale}x.ppm"))).unwrap();
            }
        }
    }
}
