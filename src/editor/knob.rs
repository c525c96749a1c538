//! The rotary knob: drag (fine with shift), wheel, arrow keys, typed values, double click for the default.
//! Runs on the editor's thread; reaches values through [`ControlAccess`] only.

use std::f32::consts::PI;

use egui::{Align2, EventFilter, Id, Key, Rect, Response, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

use super::control::ControlAccess;
use super::{paint, theme};
use crate::parameter::{Domain, Parameter};

/// Where the arc starts and ends: 270 degrees, open at the bottom.
const ARC_START: f32 = 0.75 * PI;
const ARC_SWEEP: f32 = 1.5 * PI;

/// Pixels of vertical drag for the whole range; ten times as many when fine.
const DRAG_LEN: f32 = 220.0;

/// What a knob remembers between pictures.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Unrounded value of a drag under way, so that slow drags of stepped controls arrive.
    drag: Option<f32>,
    /// Text being typed, if any, and whether it was refused.
    typed: Option<(String, bool)>,
    /// Whether the text field has had the keyboard yet.
    typing_began: bool,
    /// Wheel movement not yet turned into steps.
    wheel: f32,
}

/// Size of a small knob with label and value.
pub const SMALL: egui::Vec2 = egui::Vec2::new(84.0, 112.0);

/// Whether the arc starts at the default rather than at the lowest value.
fn is_bipolar(control: Parameter) -> bool {
    matches!(control.spec().domain, Domain::Number(number) if number.is_signed)
}

/// A small knob with its label above and its value below, filling `rect` (of at least [`SMALL`]'s proportions).
pub fn small(ui: &mut Ui, rect: Rect, control: Parameter, access: &dyn ControlAccess) -> Response {
    let label_rect = Rect::from_min_size(rect.min, vec2(rect.width(), 16.0));
    let value_rect = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 20.0), rect.max);
    // The notch of the default stands out by 4 points on top.
    let dial_rect = Rect::from_min_max(label_rect.left_bottom() + vec2(0.0, 5.0), value_rect.right_top());
    let radius = (dial_rect.height().min(dial_rect.width()) / 2.0).clamp(12.0, 32.0);

    let response = dial(ui, rect, control, access);
    paint::text_in(ui, label_rect, Align2::CENTER_CENTER, control.spec().short_name, theme::regular(12.0), theme::DIM);
    paint_dial(ui, &response, dial_rect.center(), radius, 3.0, control, access);
    value_text(ui, value_rect, control, access, 13.0, &response);
    response
}

/// The large knob: its value stands in the middle, its label above.
pub fn large(ui: &mut Ui, rect: Rect, control: Parameter, access: &dyn ControlAccess) -> Response {
    let radius = (rect.width().min(rect.height()) / 2.0 - 6.0).max(20.0);
    let centre = rect.center();
    let response = dial(ui, rect, control, access);
    paint_dial(ui, &response, centre, radius, 7.0, control, access);
    let size = (radius * 0.42).clamp(16.0, 34.0);
    let inside = Rect::from_center_size(centre - vec2(0.0, 1.0), vec2(radius * 1.4, size * 1.4));
    value_text(ui, inside, control, access, size, &response);
    response
}

/// Everything the hand and the keyboard do to a knob.
fn dial(ui: &mut Ui, rect: Rect, control: Parameter, access: &dyn ControlAccess) -> Response {
    let id = ui.scope_id().with(("knob", control));
    let mut response = ui.interact(rect, id, Sense::click_and_drag());
    let mut memory: Memory = ui.data(|data| data.get_temp(id)).unwrap_or_default();
    let steps = access.step_count(control);
    let value = access.normalized(control);

    if response.drag_started() {
        access.begin(control);
        memory.drag = Some(value);
    }
    if let Some(from) = memory.drag
        && response.dragged()
    {
        let fine = ui.input(|input| input.modifiers.shift);
        let moved = response.drag_motion();
        let to = (from + (moved.x - moved.y) / DRAG_LEN * if fine { 0.1 } else { 1.0 }).clamp(0.0, 1.0);
        memory.drag = Some(to);
        access.set(control, to);
        response.mark_changed();
    }
    if response.drag_stopped() && memory.drag.take().is_some() {
        access.end(control);
    }
    if response.double_clicked() {
        access.set_once(control, access.default_normalized(control));
        response.mark_changed();
    } else if response.clicked() {
        response.request_focus();
    }

    if response.hovered() {
        // The wheel belongs to the knob below it, not to a page behind.
        let (moved, fine) = ui.input_mut(|input| {
            let moved = std::mem::take(&mut input.smooth_scroll_delta);
            (moved.x + moved.y, input.modifiers.shift)
        });
        memory.wheel += moved;
        // A notch of a common wheel moves 50 points or so: four steps of a percent.
        let step_len = if steps.is_some() { 40.0 } else { 12.0 };
        let count = (memory.wheel / step_len).trunc();
        if count != 0.0 {
            memory.wheel -= count * step_len;
            access.set_once(control, value + count * control.nudge(fine));
            response.mark_changed();
        }
    } else {
        memory.wheel = 0.0;
    }

    if response.has_focus() {
        keyboard(ui, id, control, access, &mut memory);
        paint::focus_ring(ui.painter(), rect.expand(1.0), theme::FIELD_RADIUS);
    }

    let text = access.present_text(control);
    response.widget_info(|| WidgetInfo {
        current_text_value: Some(text.clone()),
        ..WidgetInfo::slider(true, f64::from(value), control.spec().name)
    });
    describe(ui, &response, access, control);
    ui.data_mut(|data| data.insert_temp(id, memory));
    let hint = format!(
        "{}\n\nDefault {}. Double click to go back to it; hold shift for fine steps; click the value to type.",
        control.spec().explanation,
        access.text(control, access.default_normalized(control))
    );
    response.on_hover_text(hint)
}

/// Range and spoken value for assistive programs.
fn describe(ui: &Ui, response: &Response, access: &dyn ControlAccess, control: Parameter) {
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(1.0);
        node.set_numeric_value(f64::from(access.normalized(control)));
        node.set_value(access.present_text(control));
        node.set_description(control.spec().explanation);
    });
}

fn keyboard(ui: &Ui, id: Id, control: Parameter, access: &dyn ControlAccess, memory: &mut Memory) {
    let arrows = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|memory| memory.set_focus_lock_filter(id, arrows));
    let value = access.normalized(control);
    let fine = ui.input(|input| input.modifiers.shift);
    let step = control.nudge(fine);
    let pressed = |key: Key| ui.input(|input| input.num_presses(key)) as f32;
    let mut to = value;
    to += step * (pressed(Key::ArrowUp) + pressed(Key::ArrowRight) - pressed(Key::ArrowDown) - pressed(Key::ArrowLeft));
    to += 10.0 * step * (pressed(Key::PageUp) - pressed(Key::PageDown));
    if pressed(Key::Home) > 0.0 {
        to = 0.0;
    }
    if pressed(Key::End) > 0.0 {
        to = 1.0;
    }
    if pressed(Key::Delete) > 0.0 || pressed(Key::Backspace) > 0.0 {
        to = access.default_normalized(control);
    }
    if to != value {
        access.set_once(control, to);
    }
    // A digit, sign or Enter opens the field for typing.
    let first = ui.input(|input| {
        input.events.iter().find_map(|event| match event {
            egui::Event::Text(text) if text.starts_with(|c: char| c.is_ascii_digit() || "+-−.".contains(c)) => {
                Some(text.clone())
            }
            egui::Event::Key { key: Key::Enter, pressed: true, .. } => Some(String::new()),
            _ => None,
        })
    });
    if let Some(first) = first
        && memory.typed.is_none()
    {
        let text = if first.is_empty() { access.present_text(control) } else { first };
        memory.typed = Some((text, false));
        memory.typing_began = false;
    }
}

/// The value as text; a click on it opens a field to type in.
fn value_text(ui: &mut Ui, rect: Rect, control: Parameter, access: &dyn ControlAccess, size: f32, knob: &Response) {
    let mut memory: Memory = ui.data(|data| data.get_temp(knob.id)).unwrap_or_default();
    if let Some((mut text, refused)) = memory.typed.take() {
        let field = egui::TextEdit::singleline(&mut text)
            .id(knob.id.with("field"))
            .font(theme::regular(size.min(18.0)))
            .align(egui::Align2::CENTER_CENTER)
            .margin(egui::Margin::symmetric(2, 0))
            .char_limit(24)
            .text_color(if refused { theme::BAD } else { theme::TEXT })
            .desired_width(rect.width());
        let response =
            ui.put(Rect::from_center_size(rect.center(), vec2(rect.width(), rect.height().max(20.0))), field);
        if !memory.typing_began {
            response.request_focus();
            memory.typing_began = true;
            if text == access.present_text(control) {
                select_all(ui, response.id, &text);
            } else {
                place_caret_at_end(ui, response.id, &text);
            }
            memory.typed = Some((text, false));
        } else if response.lost_focus() {
            let (enter, escape) = ui.input(|input| (input.key_pressed(Key::Enter), input.key_pressed(Key::Escape)));
            match access.parse(control, text.trim()) {
                Some(value) if !escape && value.is_finite() => access.set_once(control, value),
                // A wrong text after Enter stays, in red; elsewhere it is dropped.
                None if enter => {
                    memory.typed = Some((text, true));
                    memory.typing_began = false;
                }
                _ => {}
            }
            if memory.typed.is_none() && (enter || escape) {
                knob.request_focus();
            }
        } else {
            let refused = refused && !response.changed();
            memory.typed = Some((text, refused));
        }
        ui.data_mut(|data| data.insert_temp(knob.id, memory));
        return;
    }

    let text = access.present_text(control);
    let font = if size > 15.0 { theme::strong(size) } else { theme::regular(size) };
    let galley = paint::line(ui, &text, font, theme::TEXT, rect.width());
    let placed = Align2::CENTER_CENTER.align_size_within_rect(galley.size(), rect);
    let hit = placed.expand2(vec2(4.0, 1.0));
    let response = ui.interact(hit, knob.id.with("value"), Sense::click()).on_hover_cursor(egui::CursorIcon::Text);
    if response.hovered() {
        ui.painter().rect_filled(hit, 4.0, theme::RAISED_HOVER);
    }
    ui.painter().galley(placed.min, galley, theme::TEXT);
    let label = format!("Type a value for {}", control.spec().name);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
    if response.clicked() {
        memory.typed = Some((text, false));
        memory.typing_began = false;
        ui.data_mut(|data| data.insert_temp(knob.id, memory));
    }
    response.on_hover_text("Click to type a value");
}

fn select_all(ui: &Ui, id: Id, text: &str) {
    use egui::text::{CCursor, CCursorRange};
    let mut state = egui::TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
    let range = CCursorRange::two(CCursor::default(), CCursor::new(text.chars().count()));
    state.cursor.set_char_range(Some(range));
    egui::TextEdit::store_state(ui.ctx(), id, state);
}

fn place_caret_at_end(ui: &Ui, id: Id, text: &str) {
    use egui::text::{CCursor, CCursorRange};
    let mut state = egui::TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
    state.cursor.set_char_range(Some(CCursorRange::one(CCursor::new(text.chars().count()))));
    egui::TextEdit::store_state(ui.ctx(), id, state);
}

/// Draws body, arcs and pointer.
fn paint_dial(
    ui: &Ui,
    response: &Response,
    centre: egui::Pos2,
    radius: f32,
    width: f32,
    control: Parameter,
    access: &dyn ControlAccess,
) {
    let painter = ui.painter();
    let value = finite_share(access.normalized(control));
    let origin = if is_bipolar(control) { finite_share(access.default_normalized(control)) } else { 0.0 };
    let angle = |share: f32| ARC_START + ARC_SWEEP * share;
    let hot = response.hovered() || response.dragged() || response.has_focus();
    let ring = radius - width / 2.0;

    let body = if hot { theme::RAISED_HOVER } else { theme::RAISED };
    painter.circle_filled(centre, ring - width * 1.35, body);
    paint::arc(painter, centre, ring, angle(0.0), angle(1.0), Stroke::new(width, theme::LINE));
    if (value - origin).abs() > 1e-4 {
        let (from, to) = (origin.min(value), origin.max(value));
        paint::arc(painter, centre, ring, angle(from), angle(to), Stroke::new(width, theme::ACCENT));
    }
    // A notch outside the arc shows where the default lies.
    let default = angle(finite_share(access.default_normalized(control)));
    let out = vec2(default.cos(), default.sin());
    painter.line_segment(
        [centre + out * (radius + 1.5), centre + out * (radius + 1.5 + width * 0.8)],
        Stroke::new(1.5, theme::FAINT),
    );
    let hand = vec2(angle(value).cos(), angle(value).sin());
    let inner = ring - width * 1.35;
    // The large knob has its value in the middle.
    let start = if radius > 40.0 { 0.78 } else { 0.35 };
    let ends = [centre + hand * inner * start, centre + hand * (inner - width * 0.6)];
    painter.line_segment(ends, Stroke::new((width * 0.6).max(2.0), theme::TEXT));
    if radius > 40.0 {
        for end in ends {
            painter.circle_filled(end, width * 0.3, theme::TEXT);
        }
    }
}

/// A share that can be drawn, whatever the host made of the value.
fn finite_share(value: f32) -> f32 {
    if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 }
}
