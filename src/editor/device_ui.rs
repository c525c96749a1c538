//! What runs RVC voices: the true device in the status line, and a small window to choose another one. Runs on the
//! editor's thread.

use egui::{Align2, Popup, PopupCloseBehavior, Rect, RectAlign, RichText, Role, Sense, Ui, WidgetInfo, vec2};

use super::model::{Action, EditorModel};
use super::{paint, theme};
use crate::bridge::DeviceChoice;

/// Width of the small window's text.
const WIDTH: f32 = 300.0;

/// The device at the right of `rect`; a click opens the choice.
pub fn device_ui(ui: &mut Ui, rect: Rect, model: &EditorModel, actions: &mut Vec<Action>) {
    let choice = &model.device_choice;
    if model.device.is_empty() && choice.kinds.is_empty() {
        return;
    }
    let text = if model.device.is_empty() { "Device" } else { &model.device };
    let galley = paint::line(ui, text, theme::regular(12.0), theme::DIM, rect.width());
    let place = Align2::RIGHT_CENTER.align_size_within_rect(galley.size(), rect);
    let response = ui.interact(place.expand2(vec2(4.0, 3.0)), ui.scope_id().with("device"), Sense::click());
    let spoken = format!("Device: {text}");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
    let lit = response.hovered() || response.has_focus();
    let colour = if lit { theme::TEXT } else { theme::DIM };
    ui.painter().galley_with_override_text_color(place.min, galley, colour);
    if response.has_focus() {
        paint::focus_ring(ui.painter(), response.rect, theme::FIELD_RADIUS);
    }
    Popup::from_toggle_button_response(&response)
        .align(RectAlign::TOP_END)
        .close_behavior(PopupCloseBehavior::CloseOnClickOutside)
        .accessible_name("Device of RVC voices")
        .show(|ui| choice_ui(ui, choice, actions));
    response.on_hover_text(format!("{text}\n\nClick to choose what runs RVC voices."));
}

fn choice_ui(ui: &mut Ui, choice: &DeviceChoice, actions: &mut Vec<Action>) {
    ui.set_width(WIDTH);
    ui.label(RichText::new("What runs RVC voices").font(theme::strong(13.0)));
    for kind in &choice.kinds {
        let is_chosen = kind.word == choice.chosen;
        let radio = egui::RadioButton::new(is_chosen, capitalised(&kind.title));
        if ui.add_enabled(choice.fixed_by.is_empty(), radio).clicked() && !is_chosen {
            actions.push(Action::ChooseDevice(kind.word.clone()));
        }
    }
    for (text, colour) in sentences(choice) {
        ui.label(RichText::new(text).font(theme::regular(12.0)).color(colour));
    }
}

/// What is to be said about a choice, most important first.
fn sentences(choice: &DeviceChoice) -> Vec<(String, egui::Color32)> {
    let mut said = Vec::new();
    said.push(match choice.runs_on.as_str() {
        "" => ("Not tried yet: no RVC voice was used.".to_owned(), theme::DIM),
        device => (format!("Runs on: {device}"), theme::TEXT),
    });
    if !choice.reason.is_empty() {
        said.push((format!("Not as chosen: {}.", choice.reason.trim_end_matches('.')), theme::BAD));
    }
    if !choice.fixed_by.is_empty() {
        said.push((
            format!("{} decides. Remove that environment variable to choose here.", choice.fixed_by),
            theme::TEXT,
        ));
    }
    if !choice.note.is_empty() {
        said.push((format!("{}.", choice.note.trim_end_matches('.')), theme::BAD));
    }
    let kept = "Kept for this computer, not in the session. All other voices run on the CPU.";
    said.push((kept.to_owned(), theme::DIM));
    said
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(choice: &DeviceChoice) -> String {
        sentences(choice).into_iter().map(|(text, _)| text + "\n").collect()
    }

    #[test]
    fn a_fallback_is_told_with_its_reason() {
        let mut choice = DeviceChoice { chosen: "webgpu".into(), ..DeviceChoice::default() };
        assert!(said(&choice).contains("Not tried yet"));
        choice.runs_on = "CPU".into();
        choice.reason = "no graphics card was found".into();
        assert!(said(&choice).contains("Runs on: CPU\nNot as chosen: no graphics card was found.\n"));
        choice.fixed_by = "COFFRE_DEVICE".into();
        choice.note = "It could not be kept.".into();
        assert!(said(&choice).contains("COFFRE_DEVICE decides") && said(&choice).contains("It could not be kept.\n"));
        assert_eq!(capitalised("graphics card (WebGPU)"), "Graphics card (WebGPU)");
    }
}
