//! Improving in the window: start it, see how far it is, and compare before with after. Runs on the editor's thread; the
//! work itself is an [`ImproveJob`](crate::clone::improve::job::ImproveJob), of which this view sees the state only.

use egui::{Align2, CornerRadius, Rect, Ui, pos2, vec2};

use super::model::{Action, EditorModel};
use super::{paint, switch, theme};
use crate::bridge::session::VoiceRef;
use crate::clone::improve::job::{ImproveState, Stage};
use crate::engine::EngineId;

/// Height that the view needs, in points.
pub const HEIGHT: f32 = 64.0;

/// The view, filling `rect`; `slot` is the present slot, whose voice can be improved.
pub fn improve_ui(ui: &mut Ui, rect: Rect, model: &EditorModel, slot: usize, actions: &mut Vec<Action>) {
    let line = Rect::from_min_size(rect.min, vec2(rect.width(), 20.0));
    let row = Rect::from_min_size(pos2(rect.left(), line.bottom() + 6.0), vec2(rect.width(), 30.0));
    match &model.improve {
        None => offer_ui(ui, line, row, model.slots[slot].as_ref(), actions),
        Some(job) => job_ui(ui, line, row, job, model.slots[slot].as_ref(), slot, actions),
    }
}

fn offer_ui(ui: &mut Ui, line: Rect, row: Rect, voice: Option<&VoiceRef>, actions: &mut Vec<Action>) {
    let text = "Or make the voice in the present slot more like itself: in the background, the old one stays.";
    paint::text_in(ui, line, Align2::LEFT_CENTER, text, theme::regular(12.5), theme::DIM);
    let button = Rect::from_min_size(row.min, vec2(switch::button_width(ui, "Improve"), row.height()));
    let improvable = voice.filter(|voice| voice.engine == EngineId::Native);
    let tip = match (voice, improvable) {
        (None, _) => "Choose a voice first.",
        (Some(_), None) => "Voices of RVC cannot be improved.",
        (Some(_), Some(_)) => "Takes about a minute or less, at low priority. Nothing leaves this computer.",
    };
    if switch::button(ui, button, ui.scope_id().with("improve"), "Improve", tip).clicked()
        && let Some(voice) = improvable
    {
        actions.push(Action::Improve(voice.clone()));
    }
    let name = Rect::from_min_max(pos2(button.right() + 10.0, row.top()), row.max);
    let text = voice.map_or("No voice is in the present slot.", |voice| &voice.name);
    paint::text_in(ui, name, Align2::LEFT_CENTER, text, theme::regular(12.5), theme::DIM);
}

fn job_ui(
    ui: &mut Ui,
    line: Rect,
    row: Rect,
    job: &ImproveState,
    sounding: Option<&VoiceRef>,
    slot: usize,
    actions: &mut Vec<Action>,
) {
    let share = if job.progress.is_finite() { job.progress.clamp(0.0, 1.0) } else { 0.0 };
    let (text, colour) = match &job.stage {
        Stage::Working => (format!("Improving {}… {:.0} %", job.name, 100.0 * share), theme::DIM),
        Stage::Done { name, not_adapted: Some(reason), .. } => (
            format!("{name} is there, but mix mode was not adapted to it any further: {reason}. Compare:"),
            theme::ACCENT,
        ),
        Stage::Done { name, .. } => (format!("{name} is in your voices. Compare in the present slot:"), theme::GOOD),
        Stage::Failed(reason) => (format!("{} was not improved: {reason}", job.name), theme::BAD),
    };
    paint::text_in(ui, line, Align2::LEFT_CENTER, &text, theme::regular(12.5), colour);
    let end = match job.stage {
        Stage::Working => ("Stop", "Keeps what was done; Improve goes on with it."),
        _ => ("Done", ""),
    };
    let width = switch::button_width(ui, end.0);
    let button = Rect::from_min_max(pos2(row.right() - width, row.top()), row.max);
    if switch::button(ui, button, ui.scope_id().with("end improving"), end.0, end.1).clicked() {
        actions.push(Action::EndImprove);
    }
    match &job.stage {
        Stage::Working => {
            let bar = Rect::from_min_max(row.left_center(), pos2(button.left() - 10.0, row.center().y + 4.0));
            ui.painter().rect_filled(bar, CornerRadius::same(2), theme::WELL);
            let done = Rect::from_min_size(bar.min, vec2(bar.width() * share, bar.height()));
            ui.painter().rect_filled(done, CornerRadius::same(2), theme::ACCENT);
        }
        Stage::Done { name, id, from, .. } => {
            let voice = |name: &str, id: String| VoiceRef { name: name.to_owned(), id, ..VoiceRef::default() };
            let sides =
                [("A: before", voice(&job.name, from.to_string())), ("B: improved", voice(name, id.to_string()))];
            let mut left = row.left();
            for (label, voice) in sides {
                let is_heard = sounding.is_some_and(|sounding| sounding.is_same(&voice));
                let label = if is_heard { format!("{label}, heard") } else { label.to_owned() };
                let button = Rect::from_min_size(pos2(left, row.top()), vec2(140.0, row.height()));
                if switch::button(ui, button, ui.scope_id().with(&voice.id), &label, "").clicked() && !is_heard {
                    actions.push(Action::PutVoice(slot, voice));
                }
                left = button.right() + 8.0;
            }
        }
        Stage::Failed(_) => {}
    }
}
