//! The controls: input, pitch, likeness in the middle, output. Runs on the editor's thread.

use egui::{Align2, Rect, Ui, pos2, vec2};

use super::control::ControlAccess;
use super::meters_ui::{Meter, meter_ui};
use super::{knob, paint, switch, theme};
use crate::parameter::Parameter;

/// Least and greatest height of the controls.
pub const HEIGHT: egui::Rangef = egui::Rangef { min: 246.0, max: 300.0 };
/// Least and greatest width of the input and output cards.
const SIDE_WIDTH: egui::Rangef = egui::Rangef { min: 130.0, max: 168.0 };
/// Least and greatest width of the register card.
const REGISTER_WIDTH: egui::Rangef = egui::Rangef { min: 154.0, max: 188.0 };
/// Height of a card's title.
const TITLE_HEIGHT: f32 = 18.0;

/// The row of cards, filling `rect`. `moved` says how far the register is moved.
pub fn knobs_ui(
    ui: &mut Ui,
    rect: Rect,
    access: &dyn ControlAccess,
    moved: &str,
    input: &mut Meter,
    output: &mut Meter,
) {
    let gap = theme::GAP;
    let column = |left: f32, width: f32| Rect::from_min_size(pos2(left, rect.top()), vec2(width, rect.height()));
    let share = |range: egui::Rangef, of: f32| range.clamp(rect.width() * of);
    let (side, register) = (share(SIDE_WIDTH, 0.18), share(REGISTER_WIDTH, 0.19));
    let input_rect = column(rect.left(), side);
    let register_rect = column(input_rect.right() + gap, register);
    let output_rect = column(rect.right() - side, side);
    let likeness_rect = Rect::from_min_max(
        pos2(register_rect.right() + gap, rect.top()),
        pos2(output_rect.left() - gap, rect.bottom()),
    );
    for card in [input_rect, register_rect, likeness_rect, output_rect] {
        paint::card(ui, card);
    }
    side_ui(ui, input_rect, "Input", input, false, [Parameter::InputGain, Parameter::Gate], access);
    register_ui(ui, register_rect, moved, access);
    likeness_ui(ui, likeness_rect, access);
    side_ui(ui, output_rect, "Output", output, true, [Parameter::Mix, Parameter::OutputGain], access);
}

fn title(ui: &Ui, card: Rect, text: &str) -> Rect {
    let inner = card.shrink2(vec2(12.0, 10.0));
    let line = Rect::from_min_size(inner.min, vec2(inner.width(), TITLE_HEIGHT));
    paint::text_in(ui, line, Align2::LEFT_CENTER, text, theme::strong(13.0), theme::TEXT);
    Rect::from_min_max(pos2(inner.left(), line.bottom() + 4.0), inner.max)
}

/// A meter and two knobs; the meter stands at the window's edge.
fn side_ui(
    ui: &mut Ui,
    card: Rect,
    name: &str,
    meter: &mut Meter,
    meter_right: bool,
    controls: [Parameter; 2],
    access: &dyn ControlAccess,
) {
    let body = title(ui, card, name);
    let meter_width = 38.0;
    let (meter_rect, knobs) = if meter_right {
        let split = body.right() - meter_width + 4.0;
        (
            Rect::from_min_max(pos2(split, body.top()), pos2(body.right() + 4.0, body.bottom())),
            Rect::from_min_max(body.min, pos2(split, body.bottom())),
        )
    } else {
        let split = body.left() + meter_width - 4.0;
        (
            Rect::from_min_max(pos2(body.left() - 4.0, body.top()), pos2(split, body.bottom())),
            Rect::from_min_max(pos2(split, body.top()), body.max),
        )
    };
    pair_ui(ui, knobs, controls, access);
    meter_ui(ui, meter_rect, name, meter, !meter_right);
}

fn register_ui(ui: &mut Ui, card: Rect, moved: &str, access: &dyn ControlAccess) {
    let body = title(ui, card, Parameter::Register.spec().name);
    let field = Rect::from_min_max(pos2(body.right() - 72.0, card.top() + 9.0), pos2(body.right(), card.top() + 29.0));
    let words = Rect::from_min_size(pos2(body.left(), body.top() - 1.0), vec2(body.width(), 14.0));
    paint::text_in(ui, words, Align2::RIGHT_CENTER, moved, theme::regular(11.0), theme::DIM);
    let knobs = Rect::from_min_max(pos2(body.left(), words.bottom()), body.max);
    pair_ui(ui, knobs, [Parameter::Transpose, Parameter::Formant], access);
    switch::field(ui, field, Parameter::Register, access);
}

/// Two small knobs, one above the other.
fn pair_ui(ui: &mut Ui, rect: Rect, controls: [Parameter; 2], access: &dyn ControlAccess) {
    let half = rect.height() / 2.0;
    for (index, control) in controls.into_iter().enumerate() {
        let place = Rect::from_min_size(pos2(rect.left(), rect.top() + half * index as f32), vec2(rect.width(), half));
        knob::small(ui, Rect::from_center_size(place.center(), knob::SMALL.min(place.size())), control, access);
    }
}

fn likeness_ui(ui: &mut Ui, card: Rect, access: &dyn ControlAccess) {
    let body = title(ui, card, Parameter::Likeness.spec().name);
    let scale = Rect::from_min_max(pos2(body.left(), body.bottom() - 16.0), body.max);
    let place = Rect::from_min_max(pos2(body.left(), card.top() + 26.0), pos2(body.right(), scale.top() + 12.0));
    let side = place.width().min(place.height());
    knob::large(ui, Rect::from_center_size(place.center(), vec2(side, side)), Parameter::Likeness, access);
    // The words stand under the two ends of the arc.
    let half = vec2((body.width() / 2.0 - 10.0).min(86.0), scale.height());
    let middle = scale.center();
    let left = Rect::from_min_max(pos2(middle.x - 10.0 - half.x, scale.top()), pos2(middle.x - 10.0, scale.bottom()));
    let right = Rect::from_min_max(pos2(middle.x + 10.0, scale.top()), pos2(middle.x + 10.0 + half.x, scale.bottom()));
    paint::text_in(ui, left, Align2::RIGHT_CENTER, "you", theme::regular(12.0), theme::SOURCE);
    paint::text_in(ui, right, Align2::LEFT_CENTER, "the voice", theme::regular(12.0), theme::ACCENT);
}
