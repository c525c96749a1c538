//! The editor in a host's window: takes readings, hands out parameters, carries out what was asked for. The only part
//! of the editor that names the framework.
//!
//! Runs on the thread of the window. The locks it takes are those of session and telemetry texts, held for copies only
//! and never by the audio thread.

use std::cell::Cell;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use egui::{Rect, Sense, Stroke, Ui, pos2, vec2};
use nice_plug::context::gui::GuiContext;
use nice_plug::editor::ResizeHint;
use nice_plug::editor::dpi::LogicalSize;
use nice_plug::params::Param;
use nice_plug_egui::baseview::HandlerError;
use nice_plug_egui::{EguiEditorState, EguiNiceSettings, Frame, Key, KeyCapture, NiceEguiApp, RepaintNotifier};

use super::capture::{CAPTURE_SECONDS, SENTENCE_SECONDS, Track};
use super::control::{ControlAccess, tidy};
use super::dialog::{Chosen, Dialog};
use super::host_window::{Editor, WindowThread};
use super::listening::Listener;
use super::model::{Action, EditorModel};
use super::portrait::Portraits;
use super::trace::PitchPoint;
use super::voices_ui::present_slot;
use super::{DEFAULT_SIZE, EditorView, LEAST_SIZE, editor_ui, theme};
use crate::bridge::session::{Request, VoiceRef};
use crate::bridge::{self, Session, Telemetry};
use crate::clone::improve::job::{ImproveJob, Stage as ImproveStage};
use crate::clone::job::{CloneJob, Stage};
use crate::parameter::Parameter;
use crate::params::CoffreParams;

/// Time between two pictures, in seconds: 30 per second are enough for meters and leave the machine to the audio.
const PICTURE_S: f32 = 1.0 / 30.0;

/// Pictures of a new window after which it is asked to take the session's size.
const ASK_AT: [u32; 2] = [1, 12];

/// Longest side of a window that a session may ask for, in points.
const GREATEST_LEN: f32 = 4_000.0;

/// Makes the editor of an instance.
pub fn create(params: &Arc<CoffreParams>, session: &Arc<Session>, telemetry: &Arc<Telemetry>) -> Option<Editor> {
    let least = LogicalSize::new(LEAST_SIZE.0, LEAST_SIZE.1);
    let settings = EguiNiceSettings::new()
        .with_tile("Coffre")
        .with_resize_hint(ResizeHint::resizable().with_min_logical_size(least));
    let thread = Arc::new(WindowThread::default());
    let window = EditorWindow {
        thread: thread.clone(),
        params: params.clone(),
        session: session.clone(),
        telemetry: telemetry.clone(),
        view: EditorView::default(),
        model: EditorModel::default(),
        job: None,
        is_new_voice_taken: false,
        improvement: None,
        is_improved_voice_listed: false,
        dialog: None,
        listener: Listener::default(),
        portraits: Portraits::default(),
        seen_hops: 0,
        host: None,
        gesture: Cell::new(None),
        drawn: None,
        resize_from: None,
        wanted_size: None,
    };
    let (width, height) = window.saved_size();
    let state = EguiEditorState::from_size(LogicalSize::new(f64::from(width), f64::from(height)), 1.0);
    nice_plug_egui::create_egui_editor(state, RepaintNotifier::new(), settings, window)
        .map(|inner| Editor::new(inner, thread))
}

/// A size as a session may have it, brought within what makes sense.
fn bounded_size((width, height): (f32, f32)) -> (f32, f32) {
    let bounded =
        |len: f32, least: f32, usual: f32| if len.is_finite() { len.clamp(least, GREATEST_LEN) } else { usual };
    (bounded(width, LEAST_SIZE.0, DEFAULT_SIZE.0), bounded(height, LEAST_SIZE.1, DEFAULT_SIZE.1))
}

/// The window's content; lives as long as the plugin instance, the window itself comes and goes.
pub struct EditorWindow {
    /// Told which thread draws the window.
    thread: Arc<WindowThread>,
    params: Arc<CoffreParams>,
    session: Arc<Session>,
    telemetry: Arc<Telemetry>,
    view: EditorView,
    model: EditorModel,
    /// Cloning in the background; lives on while the window is closed.
    job: Option<CloneJob>,
    /// Whether the voice of the job was put into a slot.
    is_new_voice_taken: bool,
    /// Improving in the background; lives on while the window is closed.
    improvement: Option<ImproveJob>,
    /// Whether the list was asked to show the improved voice.
    is_improved_voice_listed: bool,
    /// The system's window for choosing files.
    dialog: Option<Dialog>,
    /// What is listened to.
    listener: Listener,
    /// The picture of the chosen voice.
    portraits: Portraits,
    /// Hops taken from the telemetry's F0 history.
    seen_hops: u64,
    /// Way to the host while a window is open.
    host: Option<GuiContext>,
    /// The control whose gesture has begun and not ended.
    gesture: Cell<Option<Parameter>>,
    drawn: Option<Instant>,
    /// Size of the window when the drag at its corner began.
    resize_from: Option<egui::Vec2>,
    /// Size to take once the window is there: a session may be loaded after the editor was made.
    ///
    /// With the pictures drawn since.
    wanted_size: Option<(egui::Vec2, u32)>,
}

impl EditorWindow {
    /// The session's window size, within what makes sense.
    fn saved_size(&self) -> (f32, f32) {
        bounded_size(*self.params.editor_size.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the window's size for the session, or asks for the session's size in a window that has just opened.
    fn follow_size(&mut self, ui: &Ui) {
        let size = ui.ctx().content_rect().size();
        if let Some((wanted, pictures)) = self.wanted_size {
            let is_there = (size - wanted).length() <= 1.0;
            // Hosts and window managers settle during the first pictures, so it is said twice; then they decide.
            if !is_there && ASK_AT.contains(&pictures) {
                ui.send_viewport_cmd(egui::ViewportCommand::InnerSize(wanted));
            }
            let is_over = is_there || pictures > 2 * ASK_AT[1];
            self.wanted_size = (!is_over).then_some((wanted, pictures + 1));
        } else if size.x >= 1.0 && size.y >= 1.0 {
            *self.params.editor_size.write().unwrap_or_else(PoisonError::into_inner) = (size.x, size.y);
        }
    }

    /// Brings the model up to date.
    fn refresh(&mut self) {
        let model = &mut self.model;
        model.reading = self.telemetry.read();
        let trace = &mut model.trace;
        self.seen_hops = self
            .telemetry
            .f0_since(self.seen_hops, |source_hz, output_hz| trace.push(PitchPoint { source_hz, output_hz }));
        model.voices = self.session.library();
        model.slots = self.session.slots();
        model.slot_states = self.session.slot_states();
        model.troubles = self.telemetry.troubles();
        model.device = self.telemetry.device();
        model.device_choice = self.telemetry.device_choice();
        model.clone = self.job.as_ref().map(CloneJob::state);
        model.improve = self.improvement.as_ref().map(ImproveJob::state);
        let is_improved = matches!(model.improve.as_ref().map(|job| &job.stage), Some(ImproveStage::Done { .. }));
        if is_improved && !std::mem::replace(&mut self.is_improved_voice_listed, true) {
            self.session.ask(Request::LookForVoices);
        }
        self.take_new_voice();
        self.take_chosen();
        self.model.listening.clone_from(self.listener.turn(&self.session, Instant::now()));
        let chosen = self.model.slots[self.view.search.slot(self)].as_ref();
        let choice = self.model.voices.iter().find(|choice| chosen.is_some_and(|voice| voice.is_same(&choice.voice)));
        self.model.portrait.clone_from(self.portraits.turn(choice));
    }

    /// Goes on with what was chosen in the system's window.
    fn take_chosen(&mut self) {
        let Some(dialog) = &mut self.dialog else { return };
        let Ok(chosen) = dialog.answer() else {
            self.model.importing = dialog.step().map(str::to_owned);
            return;
        };
        self.model.importing = None;
        (self.dialog, self.model.is_choosing) = (None, false);
        match chosen {
            None => {}
            Some(Chosen::Recordings(files)) => self.carry_out(Action::StartClone(files)),
            Some(Chosen::Imported { text, is_good }) => {
                self.model.imported = Some((text, is_good));
                self.session.ask(Request::LookForVoices);
            }
        }
    }

    /// Puts a voice that was just made into the present slot.
    fn take_new_voice(&mut self) {
        let Some(Stage::Done { name, id }) = self.model.clone.as_ref().map(|job| &job.stage) else { return };
        if !std::mem::replace(&mut self.is_new_voice_taken, true) {
            // The list first: the loader serves requests before it fills slots.
            self.session.ask(Request::LookForVoices);
            let voice = VoiceRef { name: name.clone(), id: id.to_string(), ..VoiceRef::default() };
            self.session.set_slot(present_slot(self), Some(voice));
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::PutVoice(slot, voice) => self.session.set_slot(slot, Some(voice)),
            Action::EmptySlot(slot) => self.session.set_slot(slot, None),
            Action::LearnProfile => self.session.ask(Request::LearnProfile),
            Action::ClearProfile => self.session.ask(Request::ClearProfile),
            Action::LookForVoices => self.session.ask(Request::LookForVoices),
            Action::StartClone(recordings) => {
                self.job = Some(CloneJob::start(recordings));
                self.is_new_voice_taken = false;
            }
            Action::StateOrigin(voice, ground, statement) => {
                self.session.ask(Request::StateOrigin { voice, ground, statement });
            }
            Action::StartCapture => {
                let rate = self.model.reading.host_rate;
                if rate > 0 {
                    let (tap, end) = bridge::capture::capture(rate, CAPTURE_SECONDS);
                    self.session.start_capture(tap);
                    self.job = Some(CloneJob::capture(Box::new(Track(end))));
                    self.is_new_voice_taken = false;
                }
            }
            Action::EndCapture => {
                if let Some(job) = &self.job {
                    job.end_capture();
                }
            }
            Action::ChooseFiles(purpose) => {
                if self.dialog.is_none() {
                    self.dialog = Some(Dialog::open(purpose));
                    (self.model.is_choosing, self.model.imported) = (true, None);
                }
            }
            Action::HearSentence => {
                let rate = self.model.reading.host_rate;
                if let Some(job) = self.job.as_ref().filter(|_| rate > 0) {
                    let (tap, end) = bridge::capture::capture(rate, SENTENCE_SECONDS);
                    self.session.start_capture(tap);
                    job.hear_sentence(Box::new(Track(end)));
                }
            }
            Action::Improve(voice) => {
                if let Ok(id) = voice.id.parse() {
                    self.improvement = Some(ImproveJob::start(id, &voice.name));
                    self.is_improved_voice_listed = false;
                }
            }
            Action::EndImprove => self.improvement = None,
            Action::MakeVoice(answers) => {
                if let Some(job) = &self.job {
                    job.make(answers);
                }
            }
            Action::CancelClone => self.job = None,
            Action::ForgetLateHops => self.telemetry.forget_late_hops(),
            Action::Listen(voice) => {
                if let Some(choice) = self.model.voices.iter().find(|choice| choice.voice.is_same(&voice)) {
                    self.listener.listen(choice, &self.session);
                }
            }
            Action::ChooseDevice(word) => self.session.ask(Request::ChooseDevice(word)),
            Action::StopListening => self.listener.stop(&self.session),
        }
    }

    /// The grip in the lower right corner, for hosts whose windows have no edges to pull.
    fn grip_ui(&mut self, ui: &mut Ui) {
        let window = ui.max_rect();
        let rect = Rect::from_min_max(window.max - vec2(18.0, 18.0), window.max);
        let response = ui.interact(rect, ui.scope_id().with("grip"), Sense::drag());
        let colour = if response.hovered() || response.dragged() { theme::DIM } else { theme::LINE };
        for inset in [5.0, 9.0, 13.0] {
            let corner = window.max - vec2(3.0, 3.0);
            let ends = [pos2(corner.x - inset, corner.y), pos2(corner.x, corner.y - inset)];
            ui.painter().line_segment(ends, Stroke::new(1.2, colour));
        }
        if response.drag_started() {
            self.resize_from = Some(window.size());
        }
        if let (Some(from), Some(moved)) = (self.resize_from, response.total_drag_delta()) {
            self.wanted_size = None;
            let size = (from + moved).max(vec2(LEAST_SIZE.0, LEAST_SIZE.1));
            if (size - window.size()).length() > 0.5 {
                ui.send_viewport_cmd(egui::ViewportCommand::InnerSize(size));
            }
        }
        if response.drag_stopped() {
            self.resize_from = None;
        }
        response.on_hover_cursor(egui::CursorIcon::ResizeNwSe);
    }
}

impl NiceEguiApp for EditorWindow {
    fn build(&mut self, ctx: egui::Context, host: GuiContext, _frame: &mut Frame) -> Result<(), HandlerError> {
        self.thread.enter();
        theme::apply(&ctx);
        self.host = Some(host);
        self.drawn = None;
        let (width, height) = self.saved_size();
        self.wanted_size = Some((vec2(width, height), 0));
        self.model.voices_folder =
            crate::voice::library::user_folder().map(|folder| folder.display().to_string()).unwrap_or_default();
        Ok(())
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut Frame) {
        self.refresh();
        let now = Instant::now();
        let passed_s = self.drawn.replace(now).map_or(PICTURE_S, |before| (now - before).as_secs_f32());
        let mut view = std::mem::take(&mut self.view);
        let actions = editor_ui(ui, &mut view, &self.model, self, passed_s);
        self.view = view;
        actions.into_iter().for_each(|action| self.carry_out(action));
        self.grip_ui(ui);
        self.follow_size(ui);

        // The space bar starts and stops the host's transport, unless somebody is typing.
        let capture = if ui.ctx().text_edit_focused() {
            KeyCapture::CaptureAll
        } else {
            KeyCapture::IgnoreKeys(vec![Key::Character(" ".to_owned())])
        };
        frame.set_key_capture(capture);
        ui.ctx().request_repaint_after_secs(PICTURE_S);
    }

    fn editor_closed(&mut self) {
        // A window closed in the middle of a drag must not leave the host waiting for its end.
        if let Some(control) = self.gesture.get() {
            self.end(control);
        }
        self.listener.stop(&self.session);
        self.host = None;
    }
}

/// Runs an expression with the parameter of a control.
macro_rules! with_param {
    ($window:expr, $control:expr, $param:ident => $body:expr) => {{
        let params = &$window.params;
        match $control {
            Parameter::Voice => with_param!(@ params.voice, $param => $body),
            Parameter::Transpose => with_param!(@ params.transpose, $param => $body),
            Parameter::Register => with_param!(@ params.register, $param => $body),
            Parameter::Formant => with_param!(@ params.formant, $param => $body),
            Parameter::Likeness => with_param!(@ params.likeness, $param => $body),
            Parameter::VoiceB => with_param!(@ params.voice_b, $param => $body),
            Parameter::Morph => with_param!(@ params.morph, $param => $body),
            Parameter::Mix => with_param!(@ params.mix, $param => $body),
            Parameter::InputGain => with_param!(@ params.input_gain, $param => $body),
            Parameter::OutputGain => with_param!(@ params.output_gain, $param => $body),
            Parameter::Gate => with_param!(@ params.gate, $param => $body),
            Parameter::LatencyMode => with_param!(@ params.latency_mode, $param => $body),
            Parameter::WhenLate => with_param!(@ params.when_late, $param => $body),
            Parameter::Watermark => with_param!(@ params.watermark, $param => $body),
            Parameter::Bypass => with_param!(@ params.bypass, $param => $body),
        }
    }};
    (@ $field:expr, $param:ident => $body:expr) => {{
        let $param = &$field;
        $body
    }};
}

impl ControlAccess for EditorWindow {
    fn normalized(&self, control: Parameter) -> f32 {
        with_param!(self, control, param => param.unmodulated_normalized_value())
    }

    fn default_normalized(&self, control: Parameter) -> f32 {
        with_param!(self, control, param => param.default_normalized_value())
    }

    fn step_count(&self, control: Parameter) -> Option<usize> {
        with_param!(self, control, param => param.step_count())
    }

    fn text(&self, control: Parameter, normalized: f32) -> String {
        tidy(&with_param!(self, control, param => param.normalized_value_to_string(normalized, true)))
    }

    fn parse(&self, control: Parameter, text: &str) -> Option<f32> {
        let text = text.replace('−', "-");
        with_param!(self, control, param => param.string_to_normalized_value(&text)).filter(|value| value.is_finite())
    }

    fn begin(&self, control: Parameter) {
        let Some(host) = &self.host else { return };
        if let Some(open) = self.gesture.replace(Some(control)) {
            with_param!(self, open, param => host.param_setter().end_set_parameter(param));
        }
        with_param!(self, control, param => host.param_setter().begin_set_parameter(param));
    }

    fn set(&self, control: Parameter, normalized: f32) {
        let Some(host) = &self.host else { return };
        with_param!(self, control, param => host.param_setter().set_parameter_normalized(param, normalized));
    }

    fn end(&self, control: Parameter) {
        let Some(host) = &self.host else { return };
        // A gesture that another one has ended already is not ended twice.
        if self.gesture.get() == Some(control) {
            self.gesture.set(None);
            with_param!(self, control, param => host.param_setter().end_set_parameter(param));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_cannot_ask_for_a_window_that_nobody_can_use() {
        assert_eq!(bounded_size((1200.0, 700.0)), (1200.0, 700.0));
        assert_eq!(bounded_size((-5.0, 0.0)), LEAST_SIZE);
        assert_eq!(bounded_size((f32::NAN, f32::INFINITY)), DEFAULT_SIZE);
        assert_eq!(bounded_size((1e30, 1e30)), (GREATEST_LEN, GREATEST_LEN));
    }
}
