//! Header, message about what is missing, the singer's line and the status line. Runs on the editor's thread.

use egui::{Align2, Color32, CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::control::ControlAccess;
use super::meters_ui::progress;
use super::model::{Action, EditorModel};
use super::status_text::{self, Mood};
use super::{device_ui, paint, switch, theme};
use crate::bridge::telemetry::{ProfileState, Trouble};
use crate::parameter::Parameter;

/// Height of the header.
pub const HEADER_HEIGHT: f32 = 40.0;
/// Height of a message.
pub const NOTICE_HEIGHT: f32 = 68.0;
/// Height of the singer's line.
pub const SINGER_HEIGHT: f32 = 44.0;
/// Height of the status line.
pub const FOOTER_HEIGHT: f32 = 24.0;

/// Mark, name, delay mode and bypass.
pub fn header_ui(ui: &mut Ui, rect: Rect, model: &EditorModel, access: &dyn ControlAccess) {
    let logo = Rect::from_min_size(pos2(rect.left() + 2.0, rect.center().y - 13.0), vec2(26.0, 26.0));
    paint::logo(ui.painter(), logo);
    let word = Rect::from_min_max(pos2(logo.right() + 10.0, rect.top()), rect.max);
    let word = paint::text_in(ui, word, Align2::LEFT_CENTER, "Coffre", theme::strong(19.0), theme::TEXT);

    let bypass = Rect::from_min_size(pos2(rect.right() - 96.0, rect.center().y - 14.0), vec2(96.0, 28.0));
    bypass_ui(ui, bypass, access);
    let mode = Rect::from_min_size(pos2(bypass.left() - 10.0 - 132.0, bypass.top()), vec2(132.0, 28.0));
    switch::choice(ui, mode, Parameter::LatencyMode, access);
    let label = Rect::from_min_max(pos2(mode.left() - 60.0, rect.top()), pos2(mode.left() - 8.0, rect.bottom()));
    let label_text = Parameter::LatencyMode.spec().short_name;
    paint::text_in(ui, label, Align2::RIGHT_CENTER, label_text, theme::regular(12.0), theme::DIM);

    // Which voice sounds, between the name and the switches.
    if let Some(name) = super::voices_ui::sounding_text(model, access) {
        let place = Rect::from_min_max(pos2(word.right() + 16.0, rect.top()), pos2(label.left() - 8.0, rect.bottom()));
        if place.width() > 60.0 {
            let place = place.translate(vec2(0.0, 1.0));
            paint::text_in(ui, place, Align2::LEFT_CENTER, &name, theme::regular(14.0), theme::DIM);
        }
    }
}

fn bypass_ui(ui: &mut Ui, rect: Rect, access: &dyn ControlAccess) {
    let response = ui.interact(rect, ui.scope_id().with("bypass"), Sense::click());
    let on = access.normalized(Parameter::Bypass) >= 0.5;
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, Parameter::Bypass.spec().name));
    if response.clicked() {
        access.set_once(Parameter::Bypass, if on { 0.0 } else { 1.0 });
    }
    let (ground, colour) = match (on, response.hovered()) {
        (true, _) => (theme::ACCENT, theme::BACKGROUND),
        (false, true) => (theme::RAISED_HOVER, theme::TEXT),
        (false, false) => (theme::RAISED, theme::DIM),
    };
    ui.painter().rect_filled(rect, CornerRadius::same(theme::FIELD_RADIUS), ground);
    paint::power(ui.painter(), pos2(rect.left() + 18.0, rect.center().y + 0.5), colour);
    let text_rect = Rect::from_min_max(pos2(rect.left() + 32.0, rect.top()), rect.max);
    let font = if on { theme::strong(12.0) } else { theme::regular(12.0) };
    paint::text_in(ui, text_rect, Align2::LEFT_CENTER, Parameter::Bypass.spec().name, font, colour);
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect, theme::FIELD_RADIUS);
    }
    response.on_hover_text(Parameter::Bypass.spec().explanation);
}

/// One message about something missing, with its remedy; several are leafed through.
pub fn notice_ui(ui: &mut Ui, rect: Rect, troubles: &[Trouble], shown: &mut usize, actions: &mut Vec<Action>) {
    let Some(trouble) = troubles.get((*shown).min(troubles.len().saturating_sub(1))) else { return };
    let (what, remedy) = status_text::trouble_text(trouble);
    let painter = ui.painter();
    painter.rect_filled(rect, CornerRadius::same(theme::CARD_RADIUS), theme::BAD_GROUND);
    let mark = pos2(rect.left() + 22.0, rect.center().y);
    painter.circle_filled(mark, 9.0, theme::BAD);
    painter.text(mark, Align2::CENTER_CENTER, "!", theme::strong(13.0), theme::BAD_GROUND);

    let mut right = rect.right() - 12.0;
    let mut place = |ui: &Ui, text: &str| {
        let width = switch::button_width(ui, text);
        let button = Rect::from_min_size(pos2(right - width, rect.center().y - 13.0), vec2(width, 26.0));
        right = button.left() - 8.0;
        button
    };
    if troubles.len() > 1 {
        let text = format!("{} of {}", (*shown).min(troubles.len() - 1) + 1, troubles.len());
        let button = place(ui, &text);
        if switch::button(ui, button, ui.scope_id().with("next notice"), &text, "Shows the next message.").clicked() {
            *shown = (*shown + 1) % troubles.len();
        }
    }
    if matches!(
        trouble,
        Trouble::VoiceMissing { .. } | Trouble::VoiceRefused { .. } | Trouble::FoundationMissing { .. }
    ) {
        let button = place(ui, "Look again");
        let tip = "Looks through the voice folders for new files.";
        if switch::button(ui, button, ui.scope_id().with("notice look"), "Look again", tip).clicked() {
            actions.push(Action::LookForVoices);
        }
    }
    let text = Rect::from_min_max(pos2(rect.left() + 42.0, rect.top() + 8.0), pos2(right - 4.0, rect.bottom() - 8.0));
    let first = Rect::from_min_size(text.min, vec2(text.width(), 18.0));
    let rest = Rect::from_min_max(pos2(text.left(), first.bottom() + 2.0), text.max);
    paint::text_in(ui, first, Align2::LEFT_CENTER, &what, theme::strong(13.0), theme::TEXT);
    paint::block_in(ui, rest, &remedy, theme::regular(12.0), theme::DIM);
    let response = ui.interact(text, ui.scope_id().with("notice"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, format!("{what} {remedy}")));
    response.on_hover_text(format!("{what}\n\n{remedy}"));
}

/// How well Coffre knows the singer, the watermark, and the choice of what sounds when late.
pub fn singer_ui(ui: &mut Ui, rect: Rect, model: &EditorModel, access: &dyn ControlAccess, actions: &mut Vec<Action>) {
    paint::card(ui, rect);
    let inner = rect.shrink2(vec2(12.0, 8.0));
    let profile = model.reading.profile;

    let late = Rect::from_min_max(pos2(inner.right() - 112.0, inner.top()), inner.max);
    switch::choice(ui, late, Parameter::WhenLate, access);
    let late_label = Rect::from_min_max(pos2(late.left() - 74.0, inner.top()), pos2(late.left() - 8.0, inner.bottom()));
    let label_text = Parameter::WhenLate.spec().short_name;
    paint::text_in(ui, late_label, Align2::RIGHT_CENTER, label_text, theme::regular(12.0), theme::DIM);

    let title_rect = Rect::from_min_max(inner.min, pos2(inner.left() + 60.0, inner.bottom()));
    let title = paint::text_in(ui, title_rect, Align2::LEFT_CENTER, "Singer", theme::strong(13.0), theme::TEXT);

    let width = switch::toggle_width(ui, Parameter::Watermark);
    let mark = Rect::from_min_max(
        pos2(late_label.left() - 10.0 - width, inner.top()),
        pos2(late_label.left() - 10.0, inner.bottom()),
    );
    switch::toggle(ui, mark, Parameter::Watermark, access);

    let mut right = mark.left() - 8.0;
    let learn = |text| (text, "Learns this track's singer from what is sung from now on.", Action::LearnProfile);
    let clear = |text| (text, "Forgets this singer; the general idea of a voice serves again.", Action::ClearProfile);
    // From right to left.
    let buttons = match profile {
        ProfileState::Nothing => vec![learn("Learn")],
        ProfileState::Learning(_) => vec![clear("Stop")],
        ProfileState::Learned => vec![clear("Clear"), learn("Learn again")],
    };
    for (text, tip, action) in buttons {
        let width = switch::button_width(ui, text);
        let button = Rect::from_min_size(pos2(right - width, inner.center().y - 13.0), vec2(width, 26.0));
        if switch::button(ui, button, ui.scope_id().with(text), text, tip).clicked() {
            actions.push(action);
        }
        right = button.left() - 6.0;
    }
    let text = status_text::profile_text(profile);
    let place = Rect::from_min_max(pos2(title.right() + 9.0, inner.top()), pos2(right, inner.bottom()));
    let shown = match profile {
        ProfileState::Learning(share) => {
            let line = Rect::from_min_max(place.min, pos2(place.right(), place.top() + 17.0));
            let shown = paint::text_in(ui, line, Align2::LEFT_CENTER, &text, theme::regular(12.0), theme::DIM);
            let bar =
                Rect::from_min_size(pos2(place.left(), place.bottom() - 7.0), vec2(place.width().min(220.0), 5.0));
            progress(ui, bar, share);
            shown
        }
        ProfileState::Learned => {
            paint::tick(ui.painter(), pos2(place.left() + 5.0, place.center().y), theme::GOOD);
            let place = Rect::from_min_max(pos2(place.left() + 13.0, place.top()), place.max);
            paint::text_in(ui, place, Align2::LEFT_CENTER, &text, theme::regular(12.0), theme::DIM)
        }
        ProfileState::Nothing => {
            paint::text_in(ui, place, Align2::LEFT_CENTER, &text, theme::regular(12.0), theme::DIM)
        }
    };
    let response = ui.interact(shown.expand(4.0), ui.scope_id().with("singer"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, &text));
    response.on_hover_text(status_text::profile_explanation(profile));
}

/// The line at the bottom: what Coffre does, its delay, how often it was late, what it runs on.
pub fn footer_ui(ui: &mut Ui, rect: Rect, model: &EditorModel, access: &dyn ControlAccess, actions: &mut Vec<Action>) {
    let reading = &model.reading;
    let bypassed = access.normalized(Parameter::Bypass) >= 0.5;
    let (mood, headline) = status_text::headline(reading, bypassed);
    let colour = match mood {
        Mood::Good => theme::GOOD,
        Mood::Waiting => theme::DIM,
        Mood::Bad => theme::BAD,
    };
    ui.painter().circle_filled(pos2(rect.left() + 8.0, rect.center().y), 4.0, colour);
    let mut left = rect.left() + 18.0;
    let headline_tip = status_text::headline_explanation(reading, bypassed);
    let headline_colour = if mood == Mood::Bad { theme::BAD } else { theme::TEXT };
    left = part_ui(ui, rect, left, headline, true, headline_colour, headline_tip);
    let delay_tip = status_text::latency_explanation(reading);
    left = part_ui(ui, rect, left, &status_text::latency_text(reading), false, theme::DIM, &delay_tip);
    let late = status_text::late_text(reading);
    let late_colour = if reading.late_hops == 0 { theme::DIM } else { theme::BAD };
    let late_tip = "How often the computer was too slow since the start. Click to count from zero.";
    let before = left;
    left = part_ui(ui, rect, left, &late, false, late_colour, late_tip);
    let late_rect = Rect::from_min_max(pos2(before, rect.top()), pos2(left - 14.0, rect.bottom()));
    if reading.late_hops > 0 {
        let response = ui.interact(late_rect, ui.scope_id().with("late"), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Count late moments from zero"));
        if response.clicked() {
            actions.push(Action::ForgetLateHops);
        }
    }
    if access.normalized(Parameter::Watermark) < 0.5 {
        let tip = "What you hear carries no mark: nobody can check later that it was converted. The session keeps this choice.";
        left = part_ui(ui, rect, left, "Watermark off", true, theme::BAD, tip);
    }
    let load = status_text::load_text(reading);
    if !load.is_empty() {
        let load_tip = "Share of one processor core that this instance needs.";
        left = part_ui(ui, rect, left, &load, false, theme::DIM, load_tip);
    }
    let place = Rect::from_min_max(pos2(left + 8.0, rect.top()), pos2(rect.right() - 22.0, rect.bottom()));
    device_ui::device_ui(ui, place, model, actions);
}

/// One part of the status line; returns where the next one starts.
fn part_ui(ui: &mut Ui, rect: Rect, left: f32, text: &str, strong: bool, colour: Color32, tip: &str) -> f32 {
    let place = Rect::from_min_max(pos2(left.min(rect.right()), rect.top()), rect.max);
    let font = if strong { theme::strong(12.0) } else { theme::regular(12.0) };
    let shown = paint::text_in(ui, place, Align2::LEFT_CENTER, text, font, colour);
    let response = ui.interact(shown.expand(3.0), ui.scope_id().with(tip), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, text));
    response.on_hover_text(tip);
    shown.right() + 18.0
}
