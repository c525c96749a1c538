//! The editor: one window, drawn from an [`EditorModel`] and the parameters behind a [`ControlAccess`].
//!
//! Runs on the thread of the editor's window. It reads telemetry and parameters and asks for everything else by
//! [`Action`]s; it never waits for the audio thread, the worker or the host. [`editor_ui`] is a function of what it is
//! given, so that the same picture is drawn in a host, in the standalone program and in a test.

mod capture;
pub mod chosen_ui;
pub mod clone_ui;
pub mod control;
mod device_ui;
pub mod dialog;
mod host_window;
mod improve_ui;
pub mod knob;
pub mod knobs_ui;
pub mod listening;
pub mod meters_ui;
pub mod model;
pub mod note;
mod paint;
pub mod pitch_ui;
pub mod portrait;
mod spoken_ui;
pub mod status_text;
pub mod status_ui;
mod switch;
pub mod theme;
pub mod trace;
pub mod voices_ui;
mod window;

use egui::{Rect, Ui, UiBuilder, pos2, vec2};

use crate::parameter::Parameter;
use clone_ui::ClonePanel;
use control::ControlAccess;
use meters_ui::Meter;
use model::{Action, EditorModel};
use pitch_ui::PitchAxis;
use voices_ui::VoiceSearch;

pub use host_window::Editor;
pub use window::create;

/// Size of a new window, in points.
pub const DEFAULT_SIZE: (f32, f32) = (1000.0, 680.0);
/// Smallest size at which everything has its place, in points.
pub const LEAST_SIZE: (f32, f32) = (880.0, 600.0);

/// What the editor remembers between pictures; belongs to one window.
#[derive(Clone, Debug, Default)]
pub struct EditorView {
    /// Input meter.
    pub input_meter: Meter,
    /// Output meter.
    pub output_meter: Meter,
    axis: PitchAxis,
    search: VoiceSearch,
    clone: ClonePanel,
    trouble: usize,
}

/// Draws the whole editor into `ui` and returns what the reader asked for. `passed_s` is the time since the last
/// picture, in seconds.
pub fn editor_ui(
    ui: &mut Ui,
    view: &mut EditorView,
    model: &EditorModel,
    access: &dyn ControlAccess,
    passed_s: f32,
) -> Vec<Action> {
    let mut actions = Vec::new();
    view.input_meter.update(model.reading.input_peak, passed_s);
    view.output_meter.update(model.reading.output_peak, passed_s);
    view.axis.follow(&model.trace, passed_s);

    let window = ui.max_rect();
    ui.painter().rect_filled(window, 0.0, theme::BACKGROUND);
    // A smaller window shows the upper left of a whole editor rather than a squeezed one.
    let size = window.size().max(vec2(LEAST_SIZE.0, LEAST_SIZE.1));
    let area = Rect::from_min_size(window.min, size).shrink2(vec2(theme::GAP + 2.0, theme::GAP));
    let gap = theme::GAP;

    let header = Rect::from_min_size(area.min, vec2(area.width(), status_ui::HEADER_HEIGHT));
    let footer = Rect::from_min_max(pos2(area.left(), area.bottom() - status_ui::FOOTER_HEIGHT), area.max);
    status_ui::header_ui(ui, header, model, access);
    let mut top = header.bottom() + gap;
    if !model.troubles.is_empty() {
        let notice = Rect::from_min_size(pos2(area.left(), top), vec2(area.width(), status_ui::NOTICE_HEIGHT));
        view.trouble = view.trouble.min(model.troubles.len() - 1);
        status_ui::notice_ui(ui, notice, &model.troubles, &mut view.trouble, &mut actions);
        top = notice.bottom() + gap;
    }

    let body = Rect::from_min_max(pos2(area.left(), top), pos2(area.right(), footer.top() - gap + 4.0));
    let voices_width = (body.width() * 0.27).clamp(244.0, 320.0);
    let voices = Rect::from_min_size(body.min, vec2(voices_width, body.height()));
    clone_ui::take_drops(ui, &mut view.clone, &mut actions);
    voices_ui::voices_ui(ui, voices, model, &mut view.search, &mut view.clone, access, &mut actions);

    let right = Rect::from_min_max(pos2(voices.right() + gap, body.top()), body.max);
    if view.clone.is_open {
        // Takes the place of what one listens with: while cloning, one reads.
        let slot = voices_ui::present_slot(access);
        clone_ui::clone_ui(ui, right, model, slot, &mut view.clone, &mut actions);
        status_ui::footer_ui(ui, footer, model, access, &mut actions);
        return actions;
    }
    let singer = Rect::from_min_max(pos2(right.left(), right.bottom() - status_ui::SINGER_HEIGHT), right.max);
    let knobs_height = knobs_ui::HEIGHT.clamp(body.height() * 0.38);
    let knobs = Rect::from_min_max(
        pos2(right.left(), singer.top() - gap - knobs_height),
        pos2(right.right(), singer.top() - gap),
    );
    let pitch = Rect::from_min_max(right.min, pos2(right.right(), knobs.top() - gap));
    // While bypassed, what does not act steps back.
    let mut acting = ui.new_child(UiBuilder::new().max_rect(right).id_salt("acting"));
    if access.normalized(Parameter::Bypass) >= 0.5 {
        acting.multiply_opacity(0.5);
    }
    pitch_ui::pitch_ui(&mut acting, pitch, model, &view.axis);
    let moved = status_text::register_text(&model.reading);
    knobs_ui::knobs_ui(&mut acting, knobs, access, &moved, &mut view.input_meter, &mut view.output_meter);
    status_ui::singer_ui(ui, singer, model, access, &mut actions);
    status_ui::footer_ui(ui, footer, model, access, &mut actions);
    actions
}
