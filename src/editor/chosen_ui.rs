//! The chosen voice: its picture, what there is to say about it, and a few seconds to listen to. Runs on the editor's
//! thread.

use egui::{Align2, Color32, ColorImage, CornerRadius, Rect, Role, Sense, Shape, TextureHandle, TextureOptions, Ui};
use egui::{WidgetInfo, epaint::RectShape, pos2, vec2};

use super::model::{Action, EditorModel};
use super::portrait::{Picture, PortraitState, SIDE};
use super::{paint, theme};
use crate::bridge::session::{SlotState, VoiceChoice, VoiceRef};

/// Height of the view.
pub const HEIGHT: f32 = 46.0;

/// Side of the picture.
const PORTRAIT: f32 = 40.0;

/// Side of the button in a row of the list.
const ICON: f32 = 22.0;

/// The picture in the window's memory; made anew when another one is shown.
#[derive(Clone, Default)]
pub struct PortraitTexture(Option<(Picture, TextureHandle)>);

impl std::fmt::Debug for PortraitTexture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PortraitTexture").field(&self.0.as_ref().map(|(picture, _)| picture)).finish()
    }
}

impl PortraitTexture {
    fn of(&mut self, ui: &Ui, picture: &Picture) -> Option<egui::TextureId> {
        if picture.rgba.len() != SIDE * SIDE * 4 {
            return None;
        }
        if self.0.as_ref().is_none_or(|(held, _)| held.id != picture.id) {
            let pixels = ColorImage::from_rgba_unmultiplied([SIDE, SIDE], &picture.rgba);
            let texture = ui.ctx().load_texture("portrait", pixels, TextureOptions::LINEAR);
            self.0 = Some((picture.clone(), texture));
        }
        self.0.as_ref().map(|(_, texture)| texture.id())
    }
}

/// The view, filling `rect`, about the voice of a slot. `letter` is the side of the morph that it stands for.
pub fn chosen_ui(
    ui: &mut Ui,
    rect: Rect,
    model: &EditorModel,
    slot: usize,
    texture: &mut PortraitTexture,
    actions: &mut Vec<Action>,
) {
    let Some(voice) = &model.slots[slot] else {
        let place = Rect::from_min_size(rect.min, vec2(PORTRAIT, PORTRAIT));
        initial(ui, place, "", theme::WELL);
        let text = Rect::from_min_max(pos2(place.right() + 10.0, rect.top()), rect.max);
        paint::text_in(ui, text, Align2::LEFT_CENTER, "No voice is chosen", theme::regular(12.0), theme::DIM);
        return;
    };
    let choice = model.voices.iter().find(|choice| choice.voice.is_same(voice));
    let place = Rect::from_min_size(pos2(rect.left(), rect.center().y - PORTRAIT / 2.0), vec2(PORTRAIT, PORTRAIT));
    let refused = portrait_ui(ui, place, voice, model, texture);

    let mut right = rect.right();
    if let Some(choice) = choice.filter(|choice| choice.has_preview) {
        let button = Rect::from_center_size(pos2(right - 13.0, rect.center().y), vec2(26.0, 26.0));
        icon_ui(ui, button, "listen to the chosen", choice, model, actions);
        right = button.left() - 8.0;
    }
    let text = Rect::from_min_max(pos2(place.right() + 10.0, rect.top()), pos2(right, rect.bottom()));
    let first = Rect::from_min_size(text.min, vec2(text.width(), 17.0));
    let second = Rect::from_min_max(pos2(text.left(), first.bottom()), text.max);
    paint::text_in(ui, first, Align2::LEFT_CENTER, &voice.name, theme::strong(13.0), theme::TEXT);
    let (said, colour) = about(model, choice, model.slot_states[slot], refused);
    paint::block_in(ui, second, &said, theme::regular(11.0), colour);
    let response = ui.interact(text, ui.scope_id().with("chosen voice"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, format!("{}. {said}", voice.name)));
    response.on_hover_text(format!("{}\n\n{said}", voice.name));
}

/// What is said below the name: first what somebody waits for, then what is wrong, then what the voice is like.
fn about(
    model: &EditorModel,
    choice: Option<&VoiceChoice>,
    state: SlotState,
    refused: Option<&str>,
) -> (String, Color32) {
    if !model.listening.note.is_empty() {
        return (model.listening.note.clone(), theme::BAD);
    }
    if let Some(heard) = &model.listening.voice {
        return (format!("Listening to {}", heard.name), theme::ACCENT);
    }
    if let Some(reason) = refused {
        return (reason.to_owned(), theme::DIM);
    }
    match (choice, state) {
        (_, SlotState::Missing) | (None, _) => ("Not on this computer".to_owned(), theme::BAD),
        (Some(choice), _) => (choice.description.clone(), theme::DIM),
    }
}

/// The picture, or the initial of the name; why a picture that is there cannot be shown.
fn portrait_ui<'m>(
    ui: &Ui,
    rect: Rect,
    voice: &VoiceRef,
    model: &'m EditorModel,
    texture: &mut PortraitTexture,
) -> Option<&'m str> {
    let (picture, refused) = match &model.portrait {
        PortraitState::Shown(picture) if picture.id == voice.id => (Some(picture), None),
        PortraitState::Refused(id, reason) if *id == voice.id => (None, Some(reason.as_str())),
        _ => (None, None),
    };
    if let Some(picture) = picture.and_then(|picture| texture.of(ui, picture)) {
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        let round = CornerRadius::same((PORTRAIT / 2.0) as u8);
        ui.painter().add(Shape::Rect(RectShape::filled(rect, round, Color32::WHITE).with_texture(picture, whole)));
        return None;
    }
    let first = voice.name.chars().find(|c| c.is_alphanumeric()).map(|c| c.to_uppercase().collect::<String>());
    initial(ui, rect, &first.unwrap_or_default(), theme::RAISED);
    refused
}

/// A neutral disc with a letter.
fn initial(ui: &Ui, rect: Rect, letter: &str, ground: Color32) {
    ui.painter().circle_filled(rect.center(), rect.width() / 2.0, ground);
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, letter, theme::strong(17.0), theme::DIM);
}

/// Width that [`listen_icon_ui`] takes from a row.
pub fn icon_width(choice: &VoiceChoice) -> f32 {
    if choice.has_preview { ICON + 4.0 } else { 0.0 }
}

/// The small button at the lower right of a voice's row, if the voice carries a preview.
pub fn listen_icon_ui(ui: &mut Ui, row: Rect, choice: &VoiceChoice, model: &EditorModel, actions: &mut Vec<Action>) {
    if choice.has_preview {
        let rect = Rect::from_min_size(pos2(row.right() - 9.0 - ICON, row.bottom() - 8.0 - ICON), vec2(ICON, ICON));
        icon_ui(ui, rect, "listen to", choice, model, actions);
    }
}

/// A round button that plays a voice's preview, or stops it. `salt` tells its places apart.
fn icon_ui(ui: &Ui, rect: Rect, salt: &str, choice: &VoiceChoice, model: &EditorModel, actions: &mut Vec<Action>) {
    let response = ui.interact(rect, ui.scope_id().with((salt, &choice.voice.id)), Sense::click());
    let is_heard = model.listening.voice.as_ref().is_some_and(|heard| heard.is_same(&choice.voice));
    let spoken = format!("{} {}", if is_heard { "Stop the preview of" } else { "Listen to" }, choice.voice.name);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
    let lit = response.hovered() || response.has_focus();
    ui.painter().circle_filled(rect.center(), rect.width() / 2.0, if lit { theme::LINE } else { theme::RAISED_HOVER });
    let colour = if is_heard || lit { theme::ACCENT } else { theme::TEXT };
    match is_heard {
        true => paint::stop(ui.painter(), rect.center(), colour),
        false => paint::play(ui.painter(), rect.center(), colour),
    }
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect, (rect.width() / 2.0) as u8);
    }
    if response.clicked() {
        actions.push(match is_heard {
            true => Action::StopListening,
            false => Action::Listen(choice.voice.clone()),
        });
    }
    response.on_hover_text(format!("{spoken}\n\nA few seconds of it, through Coffre's output, while the host plays."));
}
