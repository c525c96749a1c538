//! A stage for the editor without a window: parameters that remember what was done to them, a model full of life,
//! and pictures on demand.

use std::cell::RefCell;
use std::collections::HashMap;

use coffre::bridge::session::{SlotState, VoiceChoice, VoiceRef};
use coffre::bridge::telemetry::{ProfileState, Reading, RunState, Trouble};
use coffre::editor::control::{ControlAccess, tidy};
use coffre::editor::model::{Action, EditorModel};
use coffre::editor::note::hz_from_midi;
use coffre::editor::trace::PitchPoint;
use coffre::editor::{EditorView, editor_ui, theme};
use coffre::parameter::{Domain, Parameter};
use egui::{Event, FullOutput, Modifiers, Pos2, RawInput, Rect, Vec2};

use crate::raster::{Picture, Textures};

/// What a view did to a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    Begin(Parameter),
    Set(Parameter, f32),
    End(Parameter),
}

/// Parameters with Coffre's ranges, kept in a map.
#[derive(Default)]
pub struct Controls {
    pub values: RefCell<HashMap<Parameter, f32>>,
    pub deeds: RefCell<Vec<Deed>>,
}

/// Lowest, highest, default and unit of the plain value.
fn range(control: Parameter) -> (f32, f32, f32, &'static str) {
    match control.spec().domain {
        Domain::Slot { default } => (1.0, 16.0, default as f32 + 1.0, ""),
        Domain::Number(number) => (number.low, number.high, number.default, number.unit),
        Domain::Choice(words) => (0.0, words.len() as f32 - 1.0, 0.0, ""),
        Domain::Switch { default } => (0.0, 1.0, f32::from(u8::from(default)), ""),
    }
}

impl ControlAccess for Controls {
    fn normalized(&self, control: Parameter) -> f32 {
        self.values.borrow().get(&control).copied().unwrap_or_else(|| self.default_normalized(control))
    }

    fn default_normalized(&self, control: Parameter) -> f32 {
        let (low, high, default, _) = range(control);
        (default - low) / (high - low)
    }

    fn step_count(&self, control: Parameter) -> Option<usize> {
        match control.spec().domain {
            Domain::Slot { .. } => Some(15),
            Domain::Choice(words) => Some(words.len() - 1),
            Domain::Switch { .. } => Some(1),
            Domain::Number(_) => None,
        }
    }

    fn text(&self, control: Parameter, normalized: f32) -> String {
        let (low, high, _, unit) = range(control);
        let value = low + (high - low) * normalized;
        let digits = usize::from(!matches!(control, Parameter::Likeness | Parameter::Mix | Parameter::Morph)) * 2;
        let digits =
            if matches!(control, Parameter::Gate | Parameter::InputGain | Parameter::OutputGain) { 1 } else { digits };
        tidy(&format!("{value:.digits$}{unit}"))
    }

    fn parse(&self, control: Parameter, text: &str) -> Option<f32> {
        let (low, high, _, unit) = range(control);
        let text = text.replace('−', "-");
        let value: f32 = text.trim_end_matches(unit.trim()).trim().parse().ok()?;
        Some((value - low) / (high - low))
    }

    fn begin(&self, control: Parameter) {
        self.deeds.borrow_mut().push(Deed::Begin(control));
    }

    fn set(&self, control: Parameter, normalized: f32) {
        self.deeds.borrow_mut().push(Deed::Set(control, normalized));
        let value = match self.step_count(control) {
            Some(steps) => (normalized * steps as f32).round() / steps as f32,
            None => normalized,
        };
        self.values.borrow_mut().insert(control, value);
    }

    fn end(&self, control: Parameter) {
        self.deeds.borrow_mut().push(Deed::End(control));
    }
}

/// A running window of the editor without a window.
pub struct Stage {
    pub ctx: egui::Context,
    pub view: EditorView,
    pub model: EditorModel,
    pub controls: Controls,
    pub actions: Vec<Action>,
    pub size: Vec2,
    pub scale: f32,
    pub textures: Textures,
    time: f64,
}

impl Stage {
    pub fn new(model: EditorModel, size: (f32, f32), scale: f32) -> Self {
        let ctx = egui::Context::default();
        ctx.enable_accesskit();
        theme::apply(&ctx);
        let mut stage = Self {
            ctx,
            view: EditorView::default(),
            model,
            controls: Controls::default(),
            actions: Vec::new(),
            size: Vec2::new(size.0, size.1),
            scale,
            textures: Textures::default(),
            time: 0.0,
        };
        stage.rest(2);
        stage
    }

    /// Draws one picture after the given events.
    pub fn frame(&mut self, events: Vec<Event>) -> FullOutput {
        self.frame_with(events, Modifiers::NONE)
    }

    pub fn frame_with(&mut self, mut events: Vec<Event>, modifiers: Modifiers) -> FullOutput {
        events.insert(0, Event::ModifiersChanged(modifiers));
        self.time += 1.0 / 30.0;
        let mut input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, self.size)),
            time: Some(self.time),
            events,
            focused: true,
            ..RawInput::default()
        };
        if let Some(viewport) = input.viewports.get_mut(&egui::ViewportId::ROOT) {
            viewport.native_pixels_per_point = Some(self.scale);
        }
        let Self { ctx, view, model, controls, actions, .. } = self;
        let mut output = ctx.run_ui(input, |ui| actions.extend(editor_ui(ui, view, model, controls, 1.0 / 30.0)));
        self.textures.apply(&output.textures_delta);
        output.textures_delta.clear();
        output
    }

    pub fn rest(&mut self, frames: usize) {
        for _ in 0..frames {
            self.frame(Vec::new());
        }
    }

    /// What assistive programs see: role, name and place of each node.
    pub fn nodes(&mut self) -> Vec<(egui::accesskit::Role, String, Rect)> {
        let update = self.frame(Vec::new()).platform_output.accesskit_update.expect("accesskit is on");
        let of = |(_, node): &(_, egui::accesskit::Node)| {
            let bounds = node.bounds()?;
            let at = |x: f64, y: f64| egui::pos2(x as f32, y as f32);
            let rect = Rect::from_min_max(at(bounds.x0, bounds.y0), at(bounds.x1, bounds.y1));
            Some((node.role(), node.label().or(node.value()).unwrap_or_default().to_owned(), rect))
        };
        update.nodes.iter().filter_map(of).collect()
    }

    /// Middle of the first node whose name starts like this.
    pub fn place(&mut self, name: &str) -> Pos2 {
        let nodes = self.nodes();
        let found = nodes.iter().find(|(_, label, _)| label.starts_with(name));
        found.unwrap_or_else(|| panic!("no node “{name}” among {nodes:#?}")).2.center()
    }

    pub fn point_at(&mut self, pos: Pos2) {
        self.frame(vec![Event::PointerMoved(pos)]);
    }

    pub fn button(&mut self, pos: Pos2, pressed: bool) {
        let button = egui::PointerButton::Primary;
        self.frame(vec![Event::PointerButton { pos, button, pressed, modifiers: Modifiers::NONE }]);
    }

    pub fn click(&mut self, pos: Pos2) {
        self.point_at(pos);
        self.button(pos, true);
        self.button(pos, false);
        self.rest(1);
    }

    pub fn key(&mut self, key: egui::Key, modifiers: Modifiers) {
        let event = |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
        self.frame_with(vec![event(true)], modifiers);
        self.frame_with(vec![event(false)], modifiers);
    }

    pub fn write(&mut self, text: &str) {
        self.frame(vec![Event::Text(text.to_owned())]);
        self.rest(1);
    }

    /// A picture of what is shown.
    pub fn picture(&mut self) -> Picture {
        let output = self.frame(Vec::new());
        let mut picture = Picture::new((self.size.x * self.scale) as usize, (self.size.y * self.scale) as usize);
        let primitives = self.ctx.tessellate(output.shapes, output.pixels_per_point);
        picture.draw(&primitives, &self.textures, self.scale);
        picture
    }
}

/// A voice of the list.
pub fn voice(id: &str, name: &str, description: &str, range_hz: [f32; 2]) -> VoiceChoice {
    VoiceChoice {
        voice: named(id, name),
        description: description.into(),
        range_hz,
        licence: "CC0".into(),
        attribution: "Recordings given to the public domain by their speaker.".into(),
        consent: "Made from recordings that were given to the public for any use.".into(),
        is_embedded: true,
        ..VoiceChoice::default()
    }
}

pub fn named(id: &str, name: &str) -> VoiceRef {
    VoiceRef { name: name.into(), id: id.into(), ..VoiceRef::default() }
}

/// A plugin in the middle of a song.
pub fn lively() -> EditorModel {
    let mut model = EditorModel {
        reading: Reading {
            run: RunState::Converting,
            host_rate: 48_000,
            latency_samples: 2352,
            load: 0.14,
            input_peak: 0.31,
            output_peak: 0.42,
            profile: ProfileState::Learning(0.6),
            ..Reading::default()
        },
        voices: [
            voice("a1", "Amber", "Warm low alto, close and even; real signal up to 11 kHz", [174.6, 587.3]),
            voice("b2", "Birch", "Clear, bright mezzo with light breath", [220.0, 698.5]),
            voice("c3", "Cedar", "Round and calm, at home in the middle", [196.0, 659.3]),
            voice("d4", "Dune", "Dry baritone with a firm edge", [110.0, 349.2]),
        ]
        .into(),
        device: "CPU".into(),
        voices_folder: "~/.local/share/coffre/voices".into(),
        ..EditorModel::default()
    };
    model.slots[0] = Some(named("b2", "Birch"));
    model.slots[1] = Some(named("d4", "Dune"));
    model.slot_states[0] = SlotState::Ready;
    model.slot_states[1] = SlotState::Ready;
    // A sung line with vibrato, rests and a slide, an octave up in the output.
    let line =
        [(0, 57), (90, 59), (140, 60), (215, 0), (245, 64), (330, 62), (430, 60), (520, 0), (560, 55), (690, 57)];
    for hop in 0..800_usize {
        let here = line.iter().rposition(|(start, _)| *start <= hop).unwrap_or(0);
        let (start, midi) = line[here];
        let settled = ((hop - start) as f32 / 14.0).min(1.0);
        let bend = 0.35 * (hop as f32 * 0.33).sin() * settled - 1.5 * (1.0 - settled);
        let hz = if midi == 0 { 0.0 } else { hz_from_midi(midi as f32 + bend) };
        model.trace.push(PitchPoint { source_hz: hz, output_hz: hz * 2.0 });
    }
    model
}

/// Everything that can be missing is missing.
pub fn troubled() -> EditorModel {
    let mut model = lively();
    model.reading = Reading { run: RunState::Late, late_hops: 37, profile: ProfileState::Nothing, ..model.reading };
    model.troubles = vec![
        Trouble::Runtime { reason: "libonnxruntime.so.1.22 was not found beside the plugin".into() },
        Trouble::VoiceMissing { slot: 0, name: "Grandmother's kitchen radio, take 7 (final)".into() },
        Trouble::VoiceRefused { slot: 2, name: "Ember".into(), reason: "the file ends early".into() },
    ];
    model.slots[0] = Some(named("gone", "Grandmother's kitchen radio, take 7 (final)"));
    model.slots[2] = Some(named("e5", "Ember"));
    model.slot_states[0] = SlotState::Missing;
    model.slot_states[2] = SlotState::Loading;
    model
}
