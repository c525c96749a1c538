//! On/off switch, choice of two or three, and plain button, in Coffre's looks. Runs on the editor's thread.

use egui::{Align2, CornerRadius, Key, Rect, Response, Role, Sense, Ui, WidgetInfo, lerp, pos2, vec2};

use super::control::ControlAccess;
use super::{paint, theme};
use crate::parameter::Parameter;

/// An on/off switch with its label to the right, vertically centred in `rect`.
pub fn toggle(ui: &mut Ui, rect: Rect, control: Parameter, access: &dyn ControlAccess) -> Response {
    let id = ui.scope_id().with(("toggle", control));
    let response = ui.interact(rect, id, Sense::click());
    let on = access.normalized(control) >= 0.5;
    if response.clicked() {
        access.set_once(control, if on { 0.0 } else { 1.0 });
    }
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, control.spec().name));

    let share = ui.ctx().animate_bool(id, on);
    let pill = Rect::from_center_size(pos2(rect.left() + 15.0, rect.center().y), vec2(26.0, 14.0));
    let painter = ui.painter();
    let ground = if on { theme::ACCENT } else { theme::LINE };
    painter.rect_filled(pill, CornerRadius::same(7), ground);
    let ball = pos2(lerp(pill.left() + 7.0..=pill.right() - 7.0, share), pill.center().y);
    painter.circle_filled(ball, 5.0, if on { theme::BACKGROUND } else { theme::DIM });
    let label_rect = Rect::from_min_max(pos2(pill.right() + 7.0, rect.top()), rect.max);
    let colour = if response.hovered() { theme::TEXT } else { theme::DIM };
    paint::text_in(ui, label_rect, Align2::LEFT_CENTER, control.spec().short_name, theme::regular(12.0), colour);
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect.expand2(vec2(2.0, 0.0)), theme::FIELD_RADIUS);
    }
    response.on_hover_text(control.spec().explanation)
}

/// Width that a [`toggle`] needs.
pub fn toggle_width(ui: &Ui, control: Parameter) -> f32 {
    // Pill and gap, then the label.
    36.0 + paint::line(ui, control.spec().short_name, theme::regular(12.0), theme::TEXT, f32::INFINITY).size().x
}

/// A choice between the steps of a control, side by side, filling `rect`. Arrow keys move it when it has the focus.
pub fn choice(ui: &mut Ui, rect: Rect, control: Parameter, access: &dyn ControlAccess) {
    let names: Vec<&str> = control.words().collect();
    let id = ui.scope_id().with(("choice", control));
    let present = access.step_index(control);
    let last = names.len().saturating_sub(1).max(1) as f32;
    ui.painter().rect_filled(rect, CornerRadius::same(theme::FIELD_RADIUS), theme::WELL);
    let width = rect.width() / names.len().max(1) as f32;
    for (index, name) in names.iter().enumerate() {
        let left = rect.left() + width * index as f32;
        let part = Rect::from_min_size(pos2(left, rect.top()), vec2(width, rect.height()));
        let response = ui.interact(part, id.with(index), Sense::click());
        let chosen = index == present;
        let label = format!("{}: {name}", control.spec().name);
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, &label));
        let mut wanted = response.clicked().then_some(index);
        if response.has_focus() {
            let pressed = |key| ui.input(|input| input.key_pressed(key));
            if pressed(Key::Space) || pressed(Key::Enter) {
                wanted = Some(index);
            }
            paint::focus_ring(ui.painter(), part.shrink(1.0), theme::FIELD_RADIUS);
        }
        if let Some(index) = wanted
            && !chosen
        {
            access.set_once(control, index as f32 / last);
        }
        let colour = if chosen {
            ui.painter().rect_filled(
                part.shrink(2.0),
                CornerRadius::same(theme::FIELD_RADIUS - 1),
                theme::RAISED_HOVER,
            );
            theme::TEXT
        } else if response.hovered() {
            theme::TEXT
        } else {
            theme::DIM
        };
        let font = if chosen { theme::strong(12.0) } else { theme::regular(12.0) };
        paint::text_in(ui, part.shrink2(vec2(4.0, 0.0)), Align2::CENTER_CENTER, name, font, colour);
        response.on_hover_text(control.spec().explanation);
    }
}

/// A field that shows the present of some choices, filling `rect`: a click or Enter takes the next one, arrow keys move.
pub fn field(ui: &mut Ui, rect: Rect, control: Parameter, access: &dyn ControlAccess) {
    let names: Vec<&str> = control.words().collect();
    let response = ui.interact(rect, ui.scope_id().with(("field", control)), Sense::click());
    let count = names.len().max(1);
    let present = access.step_index(control).min(count - 1);
    let name = names.get(present).copied().unwrap_or_default();
    response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, format!("{}: {name}", control.spec().name)));
    let mut wanted = response.clicked().then_some((present + 1) % count);
    if response.has_focus() {
        ui.memory_mut(|memory| {
            let filter = egui::EventFilter { vertical_arrows: true, ..egui::EventFilter::default() };
            memory.set_focus_lock_filter(response.id, filter);
        });
        let pressed = |key| ui.input(|input| input.key_pressed(key));
        if pressed(Key::ArrowDown) {
            wanted = Some((present + 1).min(count - 1));
        } else if pressed(Key::ArrowUp) {
            wanted = Some(present.saturating_sub(1));
        }
        paint::focus_ring(ui.painter(), rect, theme::FIELD_RADIUS);
    }
    if let Some(index) = wanted.filter(|index| *index != present) {
        access.set_once(control, index as f32 / (count - 1).max(1) as f32);
    }
    let (ground, colour) =
        if response.hovered() { (theme::RAISED_HOVER, theme::TEXT) } else { (theme::RAISED, theme::TEXT) };
    ui.painter().rect_filled(rect, CornerRadius::same(theme::FIELD_RADIUS), ground);
    paint::text_in(ui, rect.shrink2(vec2(2.0, 0.0)), Align2::CENTER_CENTER, name, theme::regular(12.0), colour);
    response.on_hover_text(control.spec().explanation);
}

/// A button with a text, filling `rect`.
pub fn button(ui: &mut Ui, rect: Rect, id: egui::Id, text: &str, tip: &str) -> Response {
    let response = ui.interact(rect, id, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, text));
    let ground = if response.is_pointer_button_down_on() {
        theme::LINE
    } else if response.hovered() {
        theme::RAISED_HOVER
    } else {
        theme::RAISED
    };
    ui.painter().rect_filled(rect, CornerRadius::same(theme::FIELD_RADIUS), ground);
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect, theme::FIELD_RADIUS);
    }
    paint::text_in(ui, rect.shrink2(vec2(6.0, 0.0)), Align2::CENTER_CENTER, text, theme::regular(12.0), theme::TEXT);
    if tip.is_empty() { response } else { response.on_hover_text(tip) }
}

/// Width that a [`button`] needs for its text.
pub fn button_width(ui: &Ui, text: &str) -> f32 {
    paint::line(ui, text, theme::regular(12.0), theme::TEXT, f32::INFINITY).size().x + 20.0
}
