//! The voice list with its search, and the slots below it. Runs on the editor's thread; asks for changes by
//! [`Action`]s.

use egui::{Align2, CornerRadius, Key, Rect, Response, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, UiBuilder};
use egui::{WidgetInfo, pos2, vec2};

use super::chosen_ui::{self, PortraitTexture};
use super::clone_ui::ClonePanel;
use super::control::ControlAccess;
use super::model::{Action, EditorModel};
use super::note::{midi_from_hz, note_name};
use super::{knob, paint, switch, theme};
use crate::bridge::session::{SlotState, VoiceChoice, VoiceRef};
use crate::engine::VOICE_SLOTS;
use crate::parameter::Parameter;

/// Height of a row of the list.
const ROW_HEIGHT: f32 = 62.0;

/// What the voice panel remembers.
#[derive(Clone, Debug, Default)]
pub struct VoiceSearch {
    /// Text of the search field.
    pub text: String,
    /// Row of the filtered list that the arrow keys stand on.
    cursor: usize,
    /// Whether a choice is for voice B of the morph.
    is_for_b: bool,
    portrait: PortraitTexture,
}

impl VoiceSearch {
    /// The slot that a choice is for.
    pub fn slot(&self, access: &dyn ControlAccess) -> usize {
        if self.is_for_b { slot_b(access) } else { present_slot(access) }
    }
}

/// Whether a voice has every word of a search text in its name, description, range or licence.
pub fn matches(voice: &VoiceChoice, search: &str) -> bool {
    let range = range_text(voice);
    let hay = [&voice.voice.name, &voice.description, &range, &voice.licence].map(|text| text.to_lowercase());
    search.to_lowercase().split_whitespace().all(|word| hay.iter().any(|text| text.contains(word)))
}

/// Where a voice is at home, as note names; empty when the file does not say.
pub fn range_text(voice: &VoiceChoice) -> String {
    let [low, high] = voice.range_hz;
    if !(low.is_finite() && high.is_finite() && low >= 20.0 && high >= low && high <= 20_000.0) {
        return String::new();
    }
    // Checked above: a few octaves around A4.
    let name = |hz: f32| note_name(midi_from_hz(hz).round() as i32);
    format!("{} – {}", name(low), name(high))
}

/// The slot that the voice parameter points at.
pub fn present_slot(access: &dyn ControlAccess) -> usize {
    access.step_index(Parameter::Voice).min(VOICE_SLOTS - 1)
}

/// The slot that the morph leads to.
fn slot_b(access: &dyn ControlAccess) -> usize {
    access.step_index(Parameter::VoiceB).min(VOICE_SLOTS - 1)
}

/// The voice that sounds, and the one that is morphed into it; `None` without any.
pub fn sounding_text(model: &EditorModel, access: &dyn ControlAccess) -> Option<String> {
    let voices = [present_slot(access), slot_b(access)].map(|slot| model.slots[slot].as_ref());
    let morph = access.normalized(Parameter::Morph);
    match voices {
        [a, Some(b)] if morph > 0.0 && a != Some(b) => {
            let a = a.map_or("You", |voice| voice.name.as_str());
            Some(format!("{a} → {}, {}", b.name, access.present_text(Parameter::Morph)))
        }
        [a, _] => a.map(|voice| voice.name.clone()),
    }
}

/// Carries out the choice of a voice for side A or B.
fn choose(voice: &VoiceRef, is_for_b: bool, model: &EditorModel, access: &dyn ControlAccess, to: &mut Vec<Action>) {
    let a = present_slot(access);
    if !is_for_b {
        to.push(Action::PutVoice(a, voice.clone()));
        return;
    }
    // Voice B must not take the place of voice A: a slot that has it already, its own one, or a free one.
    let place = model.slots.iter().position(|slot| slot.as_ref() == Some(voice));
    let own = Some(slot_b(access)).filter(|slot| *slot != a);
    let free = || model.slots.iter().enumerate().position(|(slot, voice)| slot != a && voice.is_none());
    let slot = place.or(own).or_else(free).unwrap_or((a + 1) % VOICE_SLOTS);
    if place.is_none() {
        to.push(Action::PutVoice(slot, voice.clone()));
    }
    if slot != slot_b(access) {
        access.set_once(Parameter::VoiceB, slot as f32 / (VOICE_SLOTS - 1) as f32);
    }
}

/// The whole panel.
pub fn voices_ui(
    ui: &mut Ui,
    rect: Rect,
    model: &EditorModel,
    search: &mut VoiceSearch,
    clone: &mut ClonePanel,
    access: &dyn ControlAccess,
    actions: &mut Vec<Action>,
) {
    paint::card(ui, rect);
    let inner = rect.shrink2(vec2(10.0, 10.0));
    let head = Rect::from_min_size(inner.min, vec2(inner.width(), 20.0));
    let title = head.translate(vec2(4.0, 0.0));
    paint::text_in(ui, title, Align2::LEFT_CENTER, "Voices", theme::strong(13.0), theme::TEXT);
    let left = look_again_ui(ui, head, actions);
    clone_button_ui(ui, head, left - 6.0, clone);
    let field = Rect::from_min_size(pos2(inner.left(), head.bottom() + 8.0), vec2(inner.width(), 30.0));
    let shown: Vec<&VoiceChoice> = model.voices.iter().filter(|voice| matches(voice, &search.text)).collect();
    let chosen = search_ui(ui, field, search, &shown);

    let slots = Rect::from_min_max(pos2(inner.left(), inner.bottom() - slots_height()), inner.max);
    let about = Rect::from_min_max(pos2(inner.left() + 4.0, slots.top() - 14.0 - chosen_ui::HEIGHT), inner.max);
    let about = Rect::from_min_size(about.min, vec2(about.width(), chosen_ui::HEIGHT));
    let list = Rect::from_min_max(pos2(inner.left(), field.bottom() + 6.0), pos2(inner.right(), about.top() - 6.0));
    let slot = search.slot(access);
    let clicked = match list.height() > 8.0 {
        true => list_ui(ui, list, model, slot, search, &shown, clone, actions),
        false => None,
    };
    chosen_ui::chosen_ui(ui, about, model, slot, &mut search.portrait, actions);
    if let Some(voice) = chosen.or(clicked) {
        choose(&voice, search.is_for_b, model, access, actions);
    }
    slots_ui(ui, slots, model, &mut search.is_for_b, access, actions);
}

/// Returns the button's left edge.
fn look_again_ui(ui: &mut Ui, head: Rect, actions: &mut Vec<Action>) -> f32 {
    let width = switch::button_width(ui, "Look again");
    let rect =
        Rect::from_min_max(pos2(head.right() - width, head.top() - 1.0), pos2(head.right(), head.bottom() + 1.0));
    let tip = "Looks through the voice folders for new files.";
    if switch::button(ui, rect, ui.scope_id().with("look again"), "Look again", tip).clicked() {
        actions.push(Action::LookForVoices);
    }
    rect.left()
}

fn clone_button_ui(ui: &mut Ui, head: Rect, right: f32, clone: &mut ClonePanel) {
    let width = switch::button_width(ui, "Clone");
    let rect = Rect::from_min_max(pos2(right - width, head.top() - 1.0), pos2(right, head.bottom() + 1.0));
    let tip = "Makes a voice of recordings, in seconds.";
    if switch::button(ui, rect, ui.scope_id().with("clone"), "Clone", tip).clicked() {
        clone.is_open = true;
    }
}

/// Returns the voice that Enter chose.
fn search_ui(ui: &mut Ui, rect: Rect, search: &mut VoiceSearch, shown: &[&VoiceChoice]) -> Option<VoiceRef> {
    let mut chosen = None;
    let painter = ui.painter();
    painter.rect_filled(rect, CornerRadius::same(theme::FIELD_RADIUS), theme::WELL);
    paint::magnifier(painter, pos2(rect.left() + 15.0, rect.center().y), theme::FAINT);
    let clear_rect = Rect::from_center_size(pos2(rect.right() - 14.0, rect.center().y), vec2(22.0, 22.0));
    let text_rect = Rect::from_min_max(pos2(rect.left() + 26.0, rect.top()), pos2(clear_rect.left(), rect.bottom()));
    let id = ui.scope_id().with("search");
    // Up and down belong to the list while one types.
    let focused = ui.memory(|memory| memory.has_focus(id));
    let mut moved = 0_isize;
    if focused {
        ui.input_mut(|input| {
            let take = |input: &mut egui::InputState, key| input.consume_key(egui::Modifiers::NONE, key);
            moved += isize::from(take(input, Key::ArrowDown)) - isize::from(take(input, Key::ArrowUp));
        });
    }
    let edit = egui::TextEdit::singleline(&mut search.text)
        .id(id)
        .frame(egui::Frame::NONE)
        .font(theme::regular(13.0))
        .hint_text(egui::RichText::new("Search").color(theme::FAINT))
        .align(egui::Align2::LEFT_CENTER)
        .char_limit(80)
        .desired_width(text_rect.width());
    let response = ui.put(text_rect, edit).accessible_name("Search for a voice");
    if response.changed() {
        search.cursor = 0;
    }
    if moved != 0 {
        search.cursor = search.cursor.saturating_add_signed(moved);
    }
    search.cursor = search.cursor.min(shown.len().saturating_sub(1));
    if response.lost_focus()
        && ui.input(|input| input.key_pressed(Key::Enter))
        && let Some(voice) = shown.get(search.cursor)
    {
        chosen = Some(voice.voice.clone());
        response.request_focus();
    }
    if response.lost_focus() && ui.input(|input| input.key_pressed(Key::Escape)) {
        search.text.clear();
    }
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect, theme::FIELD_RADIUS);
    }
    if !search.text.is_empty() {
        let clear = ui.interact(clear_rect, id.with("clear"), Sense::click());
        clear.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Clear the search"));
        let colour = if clear.hovered() || clear.has_focus() { theme::TEXT } else { theme::DIM };
        paint::cross(ui.painter(), clear_rect.center(), 3.5, colour);
        if clear.clicked() {
            search.text.clear();
        }
    }
    chosen
}

/// Returns the voice that was clicked. `slot` is the one that a choice is for.
#[expect(clippy::too_many_arguments, reason = "what the panel holds, by part")]
fn list_ui(
    ui: &mut Ui,
    rect: Rect,
    model: &EditorModel,
    slot: usize,
    search: &VoiceSearch,
    shown: &[&VoiceChoice],
    clone: &mut ClonePanel,
    actions: &mut Vec<Action>,
) -> Option<VoiceRef> {
    if shown.is_empty() {
        empty_list_ui(ui, rect, model, &search.text);
        return None;
    }
    let sounding = model.slots[slot].as_ref();
    let mut clicked = None;
    let searching = ui.memory(|memory| memory.has_focus(ui.scope_id().with("search")));
    let mut list = ui.new_child(UiBuilder::new().max_rect(rect).id_salt("voice list"));
    list.set_clip_rect(rect.intersect(ui.clip_rect()));
    list.spacing_mut().item_spacing.y = 2.0;
    ScrollArea::vertical().auto_shrink(false).show_rows(&mut list, ROW_HEIGHT, shown.len(), |ui, rows| {
        for index in rows {
            let voice = shown[index];
            let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW_HEIGHT), Sense::click());
            let chosen = sounding == Some(&voice.voice);
            let marked = searching && index == search.cursor && !search.text.is_empty();
            let mark = row_ui(ui, row, &response, voice, chosen, marked);
            // A file that comes with Coffre cannot be changed, and a job under way is not interrupted.
            if voice.consent.is_empty() && !voice.is_embedded && model.clone.is_none() {
                origin_button_ui(ui, mark, voice, clone);
            }
            chosen_ui::listen_icon_ui(ui, row, voice, model, actions);
            if response.clicked() && !chosen {
                clicked = Some(voice.voice.clone());
            }
            if response.gained_focus() {
                response.scroll_to_me(None);
            }
            response.on_hover_ui(|ui| voice_tip(ui, voice));
        }
    });
    clicked
}

/// Returns where the mark beside the name lies.
fn row_ui(ui: &Ui, row: Rect, response: &Response, voice: &VoiceChoice, chosen: bool, marked: bool) -> Rect {
    let range = range_text(voice);
    let spoken = format!("{}. {} {range}. {}", voice.voice.name, voice.description, consent_text(voice));
    response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, true, chosen, &spoken));
    let painter = ui.painter();
    let radius = CornerRadius::same(theme::FIELD_RADIUS);
    if chosen {
        painter.rect_filled(row, radius, theme::ACCENT_GROUND);
        let bar = Rect::from_min_size(row.min + vec2(0.0, 10.0), vec2(3.0, row.height() - 20.0));
        painter.rect_filled(bar, CornerRadius::same(2), theme::ACCENT);
    } else if response.hovered() || marked {
        painter.rect_filled(row, radius, theme::RAISED);
    }
    if response.has_focus() {
        painter.rect_stroke(row, radius, Stroke::new(1.5, theme::ACCENT), StrokeKind::Inside);
    }
    let inner = row.shrink2(vec2(11.0, 6.0));
    let first = Rect::from_min_size(inner.min, vec2(inner.width(), 19.0));
    let has_range = !range.is_empty();
    let range = paint::line(ui, &range, theme::regular(11.0), theme::DIM, inner.width() * 0.5);
    let range_at = Align2::RIGHT_CENTER.align_size_within_rect(range.size(), first);
    let right = if has_range { range_at.left() - 8.0 } else { first.right() };
    painter.galley(range_at.min, range, theme::DIM);
    // The mark follows the name and gets the room it needs first.
    let mark = mark_text(voice);
    let mark = paint::line(ui, mark, theme::regular(10.5), theme::DIM, inner.width() * 0.42);
    let mark_width = mark.size().x + 20.0;
    let name = Rect::from_min_max(first.min, pos2(right - mark_width, first.bottom()));
    let colour = if chosen { theme::ACCENT } else { theme::TEXT };
    let name = paint::text_in(ui, name, Align2::LEFT_CENTER, &voice.voice.name, theme::strong(13.5), colour);
    let mark_left = name.right() + 9.0;
    if !voice.consent.is_empty() {
        paint::tick(painter, pos2(mark_left + 4.0, first.center().y), theme::GOOD);
    }
    let mark_rect = Rect::from_min_max(pos2(mark_left + 11.0, first.top() + 1.0), pos2(right, first.bottom()));
    let mark_place = Align2::LEFT_CENTER.align_size_within_rect(mark.size(), mark_rect);
    painter.galley(mark_place.min, mark, theme::DIM);

    let about_right = inner.right() - chosen_ui::icon_width(voice);
    let about = Rect::from_min_max(pos2(inner.left(), first.bottom()), pos2(about_right, inner.bottom()));
    paint::block_in(ui, about, &voice.description, theme::regular(11.5), theme::DIM);
    mark_place
}

/// Makes “origin unknown” a way to say whose voice it is.
fn origin_button_ui(ui: &mut Ui, mark: Rect, voice: &VoiceChoice, clone: &mut ClonePanel) {
    let response = ui.interact(mark.expand(3.0), ui.scope_id().with(("origin", &voice.voice.id)), Sense::click());
    let spoken = format!("State the origin of {}", voice.voice.name);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
    let colour = if response.hovered() || response.has_focus() { theme::ACCENT } else { theme::DIM };
    ui.painter().hline(mark.x_range(), mark.bottom(), Stroke::new(1.0, colour));
    if response.clicked() {
        clone.state_origin(voice.voice.clone());
    }
    response.on_hover_text("Nobody has said whose voice this is. Click to state it.");
}

/// The licence beside the name; of a voice without a consent record, that its origin is not known.
fn mark_text(voice: &VoiceChoice) -> &str {
    if voice.consent.is_empty() { "origin unknown" } else { &voice.licence }
}

/// What is known about the consent of the person whose voice it is, as a sentence.
pub fn consent_text(voice: &VoiceChoice) -> &str {
    if voice.consent.is_empty() {
        "The file does not say whether the owner of this voice agreed. Ask before you publish."
    } else {
        &voice.consent
    }
}

fn voice_tip(ui: &mut Ui, voice: &VoiceChoice) {
    ui.set_max_width(300.0);
    ui.label(egui::RichText::new(&voice.voice.name).font(theme::strong(14.0)));
    for text in [&voice.description, &range_text(voice), &voice.attribution] {
        if !text.is_empty() {
            ui.label(text.as_str());
        }
    }
    if !voice.licence.is_empty() {
        ui.label(format!("Licence: {}", voice.licence));
    }
    ui.label(egui::RichText::new(consent_text(voice)).color(theme::DIM));
    let origin = if voice.is_embedded { "Comes with Coffre." } else { "From your voices folder." };
    ui.label(egui::RichText::new(origin).color(theme::DIM));
}

fn empty_list_ui(ui: &mut Ui, rect: Rect, model: &EditorModel, search: &str) {
    let (title, text) = if model.voices.is_empty() {
        let folder = if model.voices_folder.is_empty() {
            "Install Coffre again, or put voice files (.coffre) into a voices folder.".to_owned()
        } else {
            format!("Put voice files (.coffre) into {} and choose “Look again”.", model.voices_folder)
        };
        ("No voices yet".to_owned(), folder)
    } else {
        (
            format!("Nothing matches “{}”", search.trim()),
            "Try fewer letters, a note such as A2, or a licence.".to_owned(),
        )
    };
    let mut child = ui.new_child(UiBuilder::new().max_rect(rect.shrink2(vec2(6.0, 12.0))).id_salt("no voices"));
    child.set_clip_rect(rect.intersect(ui.clip_rect()));
    child.label(egui::RichText::new(title).font(theme::strong(13.0)));
    child.label(egui::RichText::new(text).font(theme::regular(12.0)).color(theme::DIM));
}

/// Height of voices A and B and of the morph's knob beside them.
const SIDES_HEIGHT: f32 = 76.0;

/// Height of the slot area: title line, two rows of eight, voices A and B.
fn slots_height() -> f32 {
    20.0 + 6.0 + 2.0 * 24.0 + 4.0 + 6.0 + SIDES_HEIGHT
}

fn slots_ui(
    ui: &mut Ui,
    rect: Rect,
    model: &EditorModel,
    is_for_b: &mut bool,
    access: &dyn ControlAccess,
    actions: &mut Vec<Action>,
) {
    ui.painter().hline(rect.x_range(), rect.top() - 6.0, Stroke::new(1.0, theme::RAISED));
    let head = Rect::from_min_size(rect.min, vec2(rect.width(), 20.0));
    let title = paint::text_in(
        ui,
        head.translate(vec2(4.0, 0.0)),
        Align2::LEFT_CENTER,
        "Slots",
        theme::strong(13.0),
        theme::TEXT,
    );
    let tip = ui.interact(title.expand(4.0), ui.scope_id().with("slots tip"), Sense::hover());
    tip.on_hover_text("Each slot can hold a voice. Automate “Voice” in the host to change slots during the song.");

    let gap = 4.0;
    let size = vec2((rect.width() - 7.0 * gap) / 8.0, 24.0);
    for index in 0..VOICE_SLOTS {
        let (column, row) = ((index % 8) as f32, (index / 8) as f32);
        let at = pos2(rect.left() + column * (size.x + gap), head.bottom() + 6.0 + row * (size.y + gap));
        slot_ui(ui, Rect::from_min_size(at, size), index, *is_for_b, model, access);
    }

    let sides = Rect::from_min_max(pos2(rect.left(), rect.bottom() - SIDES_HEIGHT), rect.max);
    let dial = Rect::from_min_max(pos2(sides.right() - 60.0, sides.top()), sides.max);
    knob::small(ui, dial, Parameter::Morph, access);
    for (index, slot) in [present_slot(access), slot_b(access)].into_iter().enumerate() {
        let at = pos2(sides.left(), sides.top() + 9.0 + 31.0 * index as f32);
        let line = Rect::from_min_size(at, vec2(dial.left() - 6.0 - at.x, 27.0));
        side_ui(ui, line, index == 1, slot, model, is_for_b, actions);
    }
}

/// One end of the morph: its letter, its slot and voice, and a cross that empties the slot. A click makes the list and
/// the slots choose for this end.
fn side_ui(
    ui: &mut Ui,
    rect: Rect,
    is_b: bool,
    slot: usize,
    model: &EditorModel,
    is_for_b: &mut bool,
    actions: &mut Vec<Action>,
) {
    let letter = if is_b { "B" } else { "A" };
    let content = model.slots[slot].as_ref();
    let (text, colour) = slot_text(slot, content, model.slot_states[slot]);
    let id = ui.scope_id().with(("side", is_b));
    let response = ui.interact(rect, id, Sense::click());
    let is_chosen = *is_for_b == is_b;
    let spoken = format!("{letter}: {text}");
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, is_chosen, &spoken));
    if response.clicked() {
        *is_for_b = is_b;
    }
    let radius = CornerRadius::same(theme::FIELD_RADIUS);
    if is_chosen || response.hovered() {
        ui.painter().rect_filled(rect, radius, if is_chosen { theme::RAISED } else { theme::WELL });
    }
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect, theme::FIELD_RADIUS);
    }
    let mark = Rect::from_min_max(pos2(rect.left() + 6.0, rect.top()), pos2(rect.left() + 18.0, rect.bottom()));
    let mark_colour = if is_chosen { theme::ACCENT } else { theme::DIM };
    paint::text_in(ui, mark, Align2::LEFT_CENTER, letter, theme::strong(12.0), mark_colour);
    let mut right = rect.right() - 4.0;
    if content.is_some() {
        let cross = Rect::from_center_size(pos2(rect.right() - 11.0, rect.center().y), vec2(20.0, 22.0));
        let empty = ui.interact(cross, id.with("empty"), Sense::click());
        empty.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Empty slot of {letter}")));
        let lit = empty.hovered() || empty.has_focus();
        paint::cross(ui.painter(), cross.center(), 3.0, if lit { theme::TEXT } else { theme::FAINT });
        if empty.clicked() {
            actions.push(Action::EmptySlot(slot));
        }
        empty.on_hover_text("Takes the voice out of this slot.");
        right = cross.left() - 1.0;
    }
    let place = Rect::from_min_max(pos2(mark.right() + 2.0, rect.top()), pos2(right, rect.bottom()));
    paint::text_in(ui, place, Align2::LEFT_CENTER, &text, theme::regular(11.5), colour);
    let tip = match is_b {
        false => "The voice that sounds. Click, then choose a voice or a slot for it.",
        true => "The voice that the morph leads to. Click, then choose a voice or a slot for it.",
    };
    response.on_hover_text(format!("{text}\n\n{tip}"));
}

/// What is said about a slot.
fn slot_text(slot: usize, voice: Option<&VoiceRef>, state: SlotState) -> (String, egui::Color32) {
    let number = slot + 1;
    match voice {
        None => (format!("{number} · no voice"), theme::DIM),
        Some(VoiceRef { name, .. }) => match state {
            SlotState::Missing => (format!("{number} · {name} is missing"), theme::BAD),
            SlotState::Loading => (format!("{number} · {name} is coming"), theme::DIM),
            SlotState::Empty | SlotState::Ready => (format!("{number} · {name}"), theme::TEXT),
        },
    }
}

fn slot_ui(ui: &mut Ui, rect: Rect, index: usize, is_for_b: bool, model: &EditorModel, access: &dyn ControlAccess) {
    let (slot, b) = (present_slot(access), slot_b(access));
    let morphs = access.normalized(Parameter::Morph) > 0.0;
    let content = model.slots[index].as_ref();
    let response = ui.interact(rect, ui.scope_id().with(("slot", index)), Sense::click());
    let chosen = index == slot;
    let spoken = format!("Slot {}: {}", index + 1, content.map_or("empty", |voice| voice.name.as_str()));
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, &spoken));
    if response.clicked() && index != if is_for_b { b } else { slot } {
        let control = if is_for_b { Parameter::VoiceB } else { Parameter::Voice };
        access.set_once(control, index as f32 / (VOICE_SLOTS - 1) as f32);
    }
    let painter = ui.painter();
    let radius = CornerRadius::same(5);
    let filled = content.is_some();
    let (ground, text) = match (chosen, filled) {
        (true, _) => (theme::ACCENT, theme::BACKGROUND),
        (false, true) => (theme::LINE, theme::TEXT),
        (false, false) => (if response.hovered() { theme::RAISED_HOVER } else { theme::WELL }, theme::FAINT),
    };
    painter.rect_filled(rect, radius, ground);
    if response.hovered() && filled && !chosen {
        painter.rect_stroke(rect, radius, Stroke::new(1.0, theme::DIM), StrokeKind::Inside);
    }
    if index == b && !chosen && (morphs || is_for_b) {
        painter.rect_stroke(rect, radius, Stroke::new(1.5, theme::ACCENT), StrokeKind::Inside);
    }
    let font = if filled || chosen { theme::strong(11.5) } else { theme::regular(11.5) };
    painter.text(rect.center(), Align2::CENTER_CENTER, index + 1, font, text);
    let dot = match model.slot_states[index] {
        SlotState::Missing => Some(theme::BAD),
        SlotState::Loading => Some(theme::GOOD),
        _ => None,
    };
    if let Some(colour) = dot {
        painter.circle_filled(rect.right_top() + vec2(-4.0, 4.0), 2.5, colour);
    }
    if response.has_focus() {
        paint::focus_ring(painter, rect, 5);
    }
    response.on_hover_text(spoken);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_search_must_be_found() {
        let voice = VoiceChoice {
            voice: VoiceRef { name: "Ember".into(), id: "e".into(), ..VoiceRef::default() },
            description: "Warm alto, close".into(),
            range_hz: [220.0, 587.0],
            licence: "CC0".into(),
            ..VoiceChoice::default()
        };
        for good in ["", "  ", "ember", "ALTO em", "cc0", "a3"] {
            assert!(matches(&voice, good), "{good:?}");
        }
        for bad in ["bass", "ember bass", "§"] {
            assert!(!matches(&voice, bad), "{bad:?}");
        }
    }

    #[test]
    fn a_range_is_said_in_notes_or_not_at_all() {
        let of = |range_hz| range_text(&VoiceChoice { range_hz, ..VoiceChoice::default() });
        assert_eq!(of([110.0, 440.0]), "A2 – A4");
        for nonsense in [[0.0, 0.0], [f32::NAN, 440.0], [440.0, 110.0], [-1.0, f32::INFINITY]] {
            assert_eq!(of(nonsense), "");
        }
    }

    #[test]
    fn a_missing_voice_is_named_in_its_slot() {
        let (text, colour) =
            slot_text(4, Some(&VoiceRef { name: "Ember".into(), ..VoiceRef::default() }), SlotState::Missing);
        assert_eq!((text.as_str(), colour), ("5 · Ember is missing", theme::BAD));
    }
}
