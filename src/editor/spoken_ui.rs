//! The spoken check in the window: a sentence to read aloud into the track, and what came of it. Runs on the editor's
//! thread. A hint that nothing depends on.

use egui::{Align2, Rect, Stroke, Ui, pos2, vec2};

use super::capture::SENTENCE_SECONDS;
use super::model::Action;
use super::{paint, switch, theme};
use crate::clone::Grade;
use crate::clone::check::spoken::SENTENCE;
use crate::clone::job::{JobState, Stage};

/// Height that the view needs, in points.
pub const HEIGHT: f32 = 84.0;

/// The view, filling `rect`.
pub fn spoken_ui(ui: &mut Ui, rect: Rect, job: &JobState, is_host_on: bool, actions: &mut Vec<Action>) {
    ui.painter().hline(rect.x_range(), rect.top(), Stroke::new(1.0, theme::RAISED));
    let is_speaking = job.stage == Stage::Speaking;
    let label = if is_speaking { "Enough" } else { "Read it aloud" };
    let width = switch::button_width(ui, label);
    let button = Rect::from_min_size(pos2(rect.right() - width, rect.top() + 8.0), vec2(width, 28.0));
    let tip = match (is_speaking, &job.stage, is_host_on) {
        (true, ..) => "Ends the recording here.",
        (_, Stage::Ready, true) => "Records the track for ten seconds and compares. Nothing leaves this computer.",
        (_, Stage::Ready, false) => "Switch the audio on in the host first.",
        _ => "The recordings are still being read.",
    };
    if switch::button(ui, button, ui.scope_id().with("read aloud"), label, tip).clicked() {
        match (is_speaking, &job.stage, is_host_on) {
            (true, ..) => actions.push(Action::EndCapture),
            (_, Stage::Ready, true) => actions.push(Action::HearSentence),
            _ => {}
        }
    }
    let sentence =
        Rect::from_min_max(pos2(rect.left(), rect.top() + 6.0), pos2(button.left() - 10.0, button.bottom() + 4.0));
    let text = format!("If you like, read this into the track: “{SENTENCE}”");
    paint::block_in(ui, sentence, &text, theme::regular(12.0), theme::TEXT);
    let result = Rect::from_min_max(pos2(rect.left(), sentence.bottom() + 2.0), rect.max);
    let (text, colour) = match (&job.spoken, is_speaking) {
        (_, true) => {
            let seconds = job.progress.clamp(0.0, 1.0) * SENTENCE_SECONDS as f32;
            (format!("Recording… {seconds:.0} of {SENTENCE_SECONDS} s"), theme::DIM)
        }
        (None, false) => (
            "It says whether you sound like the recordings. A hint, not a proof; the voice can be made without.".into(),
            theme::DIM,
        ),
        (Some(finding), false) => {
            let colour = match finding.grade {
                Grade::Good => theme::GOOD,
                Grade::Fair => theme::ACCENT,
                Grade::Poor => theme::BAD,
            };
            (finding.text.clone(), colour)
        }
    };
    let place = paint::text_in(ui, result, Align2::LEFT_TOP, &text, theme::regular(12.0), colour);
    let response = ui.interact(place, ui.scope_id().with("spoken result"), egui::Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Label, true, &text));
    response.on_hover_text(&text);
}
