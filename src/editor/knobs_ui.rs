//! The controls: input, pitch, likeness in the middle, output. Runs on the editor's thread.

use egui::{Align2, Rect, Ui, pos2, vec2};

use super::control::{Control, ControlAccess};
use super::meters_ui::{Meter, meter_ui};
use super::{knob, paint, switch, theme};

/// Height that the controls need.
pub const HEIGHT: f32 = 236.0;
/// Width of the input and output cards.
const SIDE_WIDTH: f32 = 132.0;
/// Width of the pitch card.
const PITCH_WIDTH: f32 = 126.0;
/// Height of a card's title.
const TITLE_HEIGHT: f32 = 18.0;

/// The row of cards, filling `rect`.
pub fn knobs_ui(ui: &mut Ui, rect: Rect, access: &dyn ControlAccess, input: &mut Meter, output: &mut Meter) {
    let gap = theme::GAP;
    let column = |left: f32, width: f32| Rect::from_min_size(pos2(left, rect.top()), vec2(width, rect.height()));
    let input_rect = column(rect.left(), SIDE_WIDTH);
    let pitch_rect = column(input_rect.right() + gap, PITCH_WIDTH);
    let output_rect = column(rect.right() - SIDE_WIDTH, SIDE_WIDTH);
    let likeness_rect =
        Rect::from_min_max(pos2(pitch_rect.right() + gap, rect.top()), pos2(output_rect.left() - gap, rect.bottom()));
    for card in [input_rect, pitch_rect, likeness_rect, output_rect] {
        paint::card(ui, card);
    }
    side_ui(ui, input_rect, "Input", input, false, [Control::InputGain, Control::Gate], access);
    pitch_ui(ui, pitch_rect, access);
    likeness_ui(ui, likeness_rect, access);
    side_ui(ui, output_rect, "Output", output, true, [Control::Mix, Control::OutputGain], access);
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
    controls: [Control; 2],
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
    let half = knobs.height() / 2.0;
    for (index, control) in controls.into_iter().enumerate() {
        let place = Rect::from_min_size(pos2(knobs.left(), knobs.top() + half * index as f32), vec2(knobs.width(), half));
        knob::small(ui, Rect::from_center_size(place.center(), knob::SMALL.min(place.size())), control, access);
    }
    meter_ui(ui, meter_rect, name, meter, !meter_right);
}

fn pitch_ui(ui: &mut Ui, card: Rect, access: &dyn ControlAccess) {
    let body = title(ui, card, "Register");
    let switch_height = 26.0;
    let knobs = Rect::from_min_max(body.min, pos2(body.right(), body.bottom() - switch_height));
    let half = knobs.height() / 2.0;
    for (index, control) in [Control::Transpose, Control::Formant].into_iter().enumerate() {
        let place = Rect::from_min_size(pos2(knobs.left(), knobs.top() + half * index as f32), vec2(knobs.width(), half));
        knob::small(ui, Rect::from_center_size(place.center(), knob::SMALL.min(place.size())), control, access);
    }
    let line = Rect::from_min_max(pos2(body.left(), body.bottom() - switch_height + 4.0), body.max);
    switch::toggle(ui, line, Control::AutoRegister, access);
}

fn likeness_ui(ui: &mut Ui, card: Rect, access: &dyn ControlAccess) {
    let body = title(ui, card, Control::Likeness.label());
    let scale = Rect::from_min_max(pos2(body.left(), body.bottom() - 16.0), body.max);
    let place = Rect::from_min_max(pos2(body.left(), card.top() + 16.0), pos2(body.right(), scale.top() + 8.0));
    let side = place.width().min(place.height());
    knob::large(ui, Rect::from_center_size(place.center(), vec2(side, side)), Control::Likeness, access);
    // The words stand under the two ends of the arc.
    let half = vec2((body.width() / 2.0 - 26.0).min(86.0), scale.height());
    let middle = scale.center();
    let left = Rect::from_min_max(pos2(middle.x - 26.0 - half.x, scale.top()), pos2(middle.x - 26.0, scale.bottom()));
    let right = Rect::from_min_max(pos2(middle.x + 26.0, scale.top()), pos2(middle.x + 26.0 + half.x, scale.bottom()));
    paint::text_in(ui, left, Align2::RIGHT_CENTER, "you", theme::regular(12.0), theme::SOURCE);
    paint::text_in(ui, right, Align2::LEFT_CENTER, "the voice", theme::regular(12.0), theme::ACCENT);
}
