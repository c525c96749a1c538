//! Cloning in the window: choose recordings, read the check, say whose voice it is, make the voice. Runs on the editor's
//! thread; the work itself is a [`CloneJob`](crate::clone::job::CloneJob), of which this view sees the state only.

use std::path::PathBuf;

use egui::{Align2, CornerRadius, Rect, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2, vec2};

use super::capture::CAPTURE_SECONDS;
use super::dialog::Purpose;
use super::model::{Action, EditorModel};
use super::{improve_ui, paint, spoken_ui, switch, theme};
use crate::bridge::session::VoiceRef;
use crate::clone::job::{Answers, JobState, Stage};
use crate::clone::{Finding, Grade};
use crate::voice::ConsentGround;

/// Longest text of a field, in characters.
const MAX_CHARS: usize = 400;

/// The grounds that a person can name, and the words that go with each. None is chosen beforehand.
const GROUNDS: [(Option<ConsentGround>, &str, &str); 4] = [
    (Some(ConsentGround::OwnVoice), "My own voice", "Anything to add? (optional)"),
    (Some(ConsentGround::WrittenConsent), "They agreed in writing", "Who agreed to what, and when?"),
    (Some(ConsentGround::LicensedData), "A licence allows it", "Where are the recordings from, under which licence?"),
    (None, "I do not know", "The voice will be marked “origin unknown”."),
];

/// Index of the own voice among the grounds: only it can be checked by a sentence.
const OWN_VOICE: usize = 0;

/// Height of the form, in points.
const FORM_HEIGHT: f32 = 142.0;

/// What the panel remembers.
#[derive(Clone, Debug, Default)]
pub struct ClonePanel {
    /// Whether the panel is shown.
    pub is_open: bool,
    /// Path of a file or folder being typed.
    path: String,
    name: String,
    statement: String,
    /// Index into the grounds; `None` = not answered yet.
    ground: Option<usize>,
    leaves_recordings_out: bool,
    /// The voice whose origin is being stated, instead of cloning.
    stating: Option<VoiceRef>,
}

impl ClonePanel {
    /// Asks for the origin of a voice.
    pub fn state_origin(&mut self, voice: VoiceRef) {
        *self = Self { is_open: true, stating: Some(voice), ..Self::default() };
    }

    /// Ground and words, once everything needed is there; the ground `None` = not known.
    fn origin(&self) -> Option<(Option<ConsentGround>, &str)> {
        let (ground, ..) = GROUNDS[self.ground?];
        let needs_words = matches!(ground, Some(ConsentGround::WrittenConsent | ConsentGround::LicensedData));
        match (ground, self.statement.trim()) {
            (_, "") if needs_words => None,
            (Some(ConsentGround::OwnVoice), "") => Some((ground, "The maker says: this is my own voice.")),
            (_, text) => Some((ground, text)),
        }
    }

    /// What was answered, once everything needed is there.
    fn answers(&self) -> Option<Answers> {
        let (ground, statement) = self.origin()?;
        let name = self.name.trim();
        (!name.is_empty()).then(|| Answers {
            name: name.to_owned(),
            ground,
            statement: statement.to_owned(),
            keeps_recordings: !self.leaves_recordings_out,
        })
    }

    /// Forgets the answers; the next voice is another person's.
    fn forget(&mut self) {
        *self = Self { is_open: self.is_open, ..Self::default() };
    }
}

/// Recordings dropped on the window start a job and open the panel, where the host passes drops on.
pub fn take_drops(ui: &Ui, panel: &mut ClonePanel, actions: &mut Vec<Action>) {
    let dropped: Vec<PathBuf> =
        ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_path_buf()).collect());
    if !dropped.is_empty() {
        panel.forget();
        panel.is_open = true;
        actions.push(Action::StartClone(dropped));
    }
}

/// The panel, filling `rect`; `slot` is the present slot.
pub fn clone_ui(
    ui: &mut Ui,
    rect: Rect,
    model: &EditorModel,
    slot: usize,
    panel: &mut ClonePanel,
    actions: &mut Vec<Action>,
) {
    paint::card(ui, rect);
    let ui = &mut ui.new_child(UiBuilder::new().max_rect(rect.shrink(14.0)).id_salt("clone"));
    ui.set_clip_rect(rect.intersect(ui.clip_rect()));
    let inner = ui.max_rect();
    let head = Rect::from_min_size(inner.min, vec2(inner.width(), 24.0));
    let title = if panel.stating.is_some() { "Whose voice is it?" } else { "Clone a voice" };
    paint::text_in(ui, head, Align2::LEFT_CENTER, title, theme::strong(15.0), theme::TEXT);
    let width = switch::button_width(ui, "Close");
    let close = Rect::from_min_max(pos2(head.right() - width, head.top()), head.max);
    let is_working = matches!(&model.clone, Some(JobState { stage, .. }) if !matches!(stage, Stage::Ready | Stage::Done { .. } | Stage::Failed(_)));
    let tip = if is_working { "Stops the work; nothing is kept." } else { "" };
    if switch::button(ui, close, ui.scope_id().with("close"), "Close", tip).clicked() {
        if panel.stating.is_none() {
            actions.push(Action::CancelClone);
        }
        panel.forget();
        panel.is_open = false;
        return;
    }
    let body = Rect::from_min_max(pos2(inner.left(), head.bottom() + 8.0), inner.max);
    if let Some(voice) = panel.stating.clone() {
        origin_ui(ui, body, &voice, panel, actions);
        return;
    }
    match &model.clone {
        None => choose_ui(ui, body, model, slot, panel, actions),
        Some(job) => job_ui(ui, body, model, job, slot, panel, actions),
    }
}

fn choose_ui(
    ui: &mut Ui,
    body: Rect,
    model: &EditorModel,
    slot: usize,
    panel: &mut ClonePanel,
    actions: &mut Vec<Action>,
) {
    let lines = "Recordings of one person, alone: any common audio file, speech or singing.\n5 s give a coarse voice, 30 s a good \
                 one, minutes the best. Choose files, or write the path of a file or folder:";
    let text = Rect::from_min_size(body.min, vec2(body.width(), 52.0));
    paint::block_in(ui, text, lines, theme::regular(12.5), theme::DIM);
    let row = Rect::from_min_size(pos2(body.left(), text.bottom() + 8.0), vec2(body.width(), 30.0));
    let width = switch::button_width(ui, "Listen");
    let button = Rect::from_min_max(pos2(row.right() - width, row.top()), row.max);
    let width = switch::button_width(ui, "Choose…");
    let choose =
        Rect::from_min_max(pos2(button.left() - 8.0 - width, row.top()), pos2(button.left() - 8.0, row.bottom()));
    choose_button_ui(ui, choose, "Choose…", Purpose::Recordings, model, actions);
    let field = Rect::from_min_max(row.min, pos2(choose.left() - 8.0, row.bottom()));
    let is_entered = field_ui(ui, field, "path", "Path of the recordings", &mut panel.path);
    let tip = "Reads and checks the recordings. Nothing leaves this computer.";
    let is_clicked = switch::button(ui, button, ui.scope_id().with("listen"), "Listen", tip).clicked();
    let path = panel.path.trim().trim_matches('"');
    if (is_clicked || is_entered) && !path.is_empty() {
        actions.push(Action::StartClone(vec![PathBuf::from(path)]));
    }

    let text = Rect::from_min_size(pos2(body.left(), row.bottom() + 14.0), vec2(body.width(), 20.0));
    let line = "Or record this track: the voice that goes into Coffre, alone and without effects.";
    paint::text_in(ui, text, Align2::LEFT_CENTER, line, theme::regular(12.5), theme::DIM);
    let label = format!("Record {CAPTURE_SECONDS} s");
    let width = switch::button_width(ui, &label);
    let button = Rect::from_min_size(pos2(body.left(), text.bottom() + 6.0), vec2(width, 30.0));
    let is_on = model.reading.host_rate > 0;
    let tip = match is_on {
        true => "Starts with what is heard next. Nothing leaves this computer.",
        false => "Switch the audio on in the host first.",
    };
    if switch::button(ui, button, ui.scope_id().with("record"), &label, tip).clicked() && is_on {
        actions.push(Action::StartCapture);
    }

    let text = Rect::from_min_size(pos2(body.left(), button.bottom() + 14.0), vec2(body.width(), 20.0));
    let line = "Or add a voice that exists: Coffre's own (.coffre) or one of RVC (.pth, .onnx).";
    paint::text_in(ui, text, Align2::LEFT_CENTER, line, theme::regular(12.5), theme::DIM);
    let width = switch::button_width(ui, "Import…");
    let button = Rect::from_min_size(pos2(body.left(), text.bottom() + 6.0), vec2(width, 30.0));
    choose_button_ui(ui, button, "Import…", Purpose::Voices, model, actions);
    let importing = model.importing.as_ref().map(|step| (step, theme::DIM));
    let imported =
        model.imported.as_ref().map(|(said, is_good)| (said, if *is_good { theme::GOOD } else { theme::BAD }));
    if let Some((said, colour)) = importing.or(imported) {
        let said_rect =
            Rect::from_min_max(pos2(button.right() + 10.0, button.top()), pos2(body.right(), button.bottom()));
        paint::block_in(ui, said_rect, said, theme::regular(12.0), colour);
        ui.interact(said_rect, ui.scope_id().with("imported"), Sense::hover()).on_hover_text(said);
    }
    let improve =
        Rect::from_min_size(pos2(body.left(), button.bottom() + 14.0), vec2(body.width(), improve_ui::HEIGHT));
    improve_ui::improve_ui(ui, improve, model, slot, actions);
}

/// A button that opens the system's window for choosing files, one at a time.
fn choose_button_ui(
    ui: &mut Ui,
    rect: Rect,
    label: &str,
    purpose: Purpose,
    model: &EditorModel,
    actions: &mut Vec<Action>,
) {
    let tip = match model.is_choosing {
        true => "A window for choosing files is open.",
        false => "Opens your system's window for choosing files. If none appears, this system has none.",
    };
    if switch::button(ui, rect, ui.scope_id().with(label), label, tip).clicked() && !model.is_choosing {
        actions.push(Action::ChooseFiles(purpose));
    }
}

/// Asks on what ground a voice may be imitated, and writes the answer into its file.
fn origin_ui(ui: &mut Ui, body: Rect, voice: &VoiceRef, panel: &mut ClonePanel, actions: &mut Vec<Action>) {
    let text = Rect::from_min_size(body.min, vec2(body.width(), 40.0));
    let line = format!(
        "The file of “{}” does not say whose voice it is. What you state is written into the file, with today's date.",
        voice.name
    );
    paint::block_in(ui, text, &line, theme::regular(12.5), theme::DIM);
    let gap = 6.0;
    let known = &GROUNDS[..3];
    let width = (body.width() - 2.0 * gap) / known.len() as f32;
    for (index, (_, label, tip)) in known.iter().enumerate() {
        let at = pos2(body.left() + (width + gap) * index as f32, text.bottom() + 8.0);
        ground_ui(ui, Rect::from_min_size(at, vec2(width, 28.0)), index, label, tip, &mut panel.ground);
    }
    let statement = Rect::from_min_size(pos2(body.left(), text.bottom() + 44.0), vec2(body.width(), 28.0));
    let hint = panel.ground.map_or("Choose one of the three above", |index| GROUNDS[index].2);
    field_ui(ui, statement, "origin statement", hint, &mut panel.statement);
    let button = Rect::from_min_size(pos2(body.right() - 150.0, statement.bottom() + 10.0), vec2(150.0, 28.0));
    let answer = panel.origin().and_then(|(ground, text)| Some((ground?, text.to_owned())));
    let tip = if answer.is_some() { "" } else { "Choose a ground, and say in words what it is." };
    if switch::button(ui, button, ui.scope_id().with("keep origin"), "Write into the file", tip).clicked()
        && let Some((ground, statement)) = answer
    {
        actions.push(Action::StateOrigin(voice.clone(), ground, statement));
        panel.forget();
        panel.is_open = false;
    }
}

/// What is said while a track is recorded.
fn recording_text(progress: f32) -> String {
    let seconds = progress.clamp(0.0, 1.0) * CAPTURE_SECONDS as f32;
    match seconds > 0.0 {
        true => format!("Recording… {seconds:.0} of {CAPTURE_SECONDS} s"),
        false => "Waiting for the track: press play in the host, or sing.".to_owned(),
    }
}

fn job_ui(
    ui: &mut Ui,
    body: Rect,
    model: &EditorModel,
    job: &JobState,
    slot: usize,
    panel: &mut ClonePanel,
    actions: &mut Vec<Action>,
) {
    let line = Rect::from_min_size(body.min, vec2(body.width(), 20.0));
    let (text, colour) = match &job.stage {
        Stage::Listening => (format!("Listening… {:.0} %", 100.0 * job.progress.clamp(0.0, 1.0)), theme::DIM),
        Stage::Recording => (recording_text(job.progress), theme::DIM),
        Stage::Ready => ("What was heard:".to_owned(), theme::DIM),
        Stage::Speaking => ("Hearing the sentence…".to_owned(), theme::DIM),
        Stage::Making => ("Making the voice…".to_owned(), theme::DIM),
        Stage::Done { name, .. } => (format!("{name} is in your voices, and in the present slot."), theme::GOOD),
        Stage::Failed(_) => ("No voice was made:".to_owned(), theme::BAD),
    };
    paint::text_in(ui, line, Align2::LEFT_CENTER, &text, theme::regular(13.0), colour);
    if job.stage == Stage::Recording {
        let width = switch::button_width(ui, "Enough");
        let button = Rect::from_min_size(pos2(line.right() - width, line.top() - 4.0), vec2(width, 24.0));
        let tip = "Ends the recording here and goes on with it. 5 s give a coarse voice.";
        if switch::button(ui, button, ui.scope_id().with("enough"), "Enough", tip).clicked() {
            actions.push(Action::EndCapture);
        }
    }
    let bar = Rect::from_min_size(pos2(body.left(), line.bottom() + 4.0), vec2(body.width(), 4.0));
    ui.painter().rect_filled(bar, CornerRadius::same(2), theme::WELL);
    let share = if job.progress.is_finite() { job.progress.clamp(0.0, 1.0) } else { 0.0 };
    let done = Rect::from_min_size(bar.min, vec2(bar.width() * share, bar.height()));
    ui.painter().rect_filled(done, CornerRadius::same(2), theme::ACCENT);
    let rest = Rect::from_min_max(pos2(body.left(), bar.bottom() + 8.0), body.max);
    if let Stage::Failed(reason) = &job.stage {
        let text = Rect::from_min_size(rest.min, vec2(rest.width(), 60.0));
        paint::block_in(ui, text, reason, theme::regular(12.5), theme::TEXT);
        let button = Rect::from_min_size(pos2(rest.left(), text.bottom() + 8.0), vec2(120.0, 28.0));
        if switch::button(ui, button, ui.scope_id().with("again"), "Choose others", "").clicked() {
            actions.push(Action::CancelClone);
        }
        return;
    }
    let asks = matches!(job.stage, Stage::Listening | Stage::Recording | Stage::Ready | Stage::Speaking);
    let hears = asks && panel.ground == Some(OWN_VOICE);
    let is_done = matches!(job.stage, Stage::Done { .. });
    let form_height = match (hears, asks, is_done) {
        (true, ..) => FORM_HEIGHT + spoken_ui::HEIGHT,
        (_, true, _) => FORM_HEIGHT,
        (.., true) => improve_ui::HEIGHT,
        _ => 0.0,
    };
    let findings = Rect::from_min_max(rest.min, pos2(rest.right(), rest.bottom() - form_height));
    findings_ui(ui, findings, &job.check.findings());
    if asks {
        let top = findings.bottom() + 6.0;
        let form = Rect::from_min_size(pos2(rest.left(), top), vec2(rest.width(), FORM_HEIGHT - 6.0));
        form_ui(ui, form, job.stage == Stage::Ready, panel, actions);
        if hears {
            let spoken = Rect::from_min_max(pos2(rest.left(), form.bottom() + 6.0), rest.max);
            spoken_ui::spoken_ui(ui, spoken, job, model.reading.host_rate > 0, actions);
        }
    } else if is_done {
        let improve = Rect::from_min_max(pos2(rest.left(), findings.bottom()), rest.max);
        improve_ui::improve_ui(ui, improve, model, slot, actions);
    }
}

/// One row per finding: mark, topic, sentence.
fn findings_ui(ui: &mut Ui, rect: Rect, findings: &[Finding]) {
    let height = (rect.height() / findings.len().max(1) as f32).clamp(16.0, 34.0);
    for (index, finding) in findings.iter().enumerate() {
        let top = rect.top() + height * index as f32;
        let row = Rect::from_min_size(pos2(rect.left(), top), vec2(rect.width(), height));
        if row.bottom() > rect.bottom() + 1.0 {
            break;
        }
        let colour = match finding.grade {
            Grade::Good => theme::GOOD,
            Grade::Fair => theme::ACCENT,
            Grade::Poor => theme::BAD,
        };
        ui.painter().circle_filled(pos2(row.left() + 5.0, row.center().y), 3.5, colour);
        let topic = Rect::from_min_size(pos2(row.left() + 16.0, row.top()), vec2(84.0, height));
        paint::text_in(ui, topic, Align2::LEFT_CENTER, finding.topic, theme::strong(12.0), theme::TEXT);
        let text = Rect::from_min_max(pos2(topic.right() + 4.0, row.top()), row.max);
        paint::block_in(ui, text, &finding.text, theme::regular(12.0), theme::DIM);
        let spoken = format!("{}: {}", finding.topic, finding.text);
        let response = ui.interact(row, ui.scope_id().with(("finding", index)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
        response.on_hover_text(&finding.text);
    }
}

/// Whose voice it is, its name, and the button that makes it.
fn form_ui(ui: &mut Ui, rect: Rect, is_ready: bool, panel: &mut ClonePanel, actions: &mut Vec<Action>) {
    ui.painter().hline(rect.x_range(), rect.top(), Stroke::new(1.0, theme::RAISED));
    let question = Rect::from_min_size(pos2(rect.left(), rect.top() + 6.0), vec2(rect.width(), 20.0));
    let text = "Whose voice is it, and on what ground may it be imitated?";
    paint::text_in(ui, question, Align2::LEFT_CENTER, text, theme::strong(12.5), theme::TEXT);
    let gap = 6.0;
    let width = (rect.width() - 3.0 * gap) / 4.0;
    for (index, (_, label, tip)) in GROUNDS.iter().enumerate() {
        let at = pos2(rect.left() + (width + gap) * index as f32, question.bottom() + 4.0);
        ground_ui(ui, Rect::from_min_size(at, vec2(width, 28.0)), index, label, tip, &mut panel.ground);
    }
    let top = question.bottom() + 4.0 + 28.0 + 8.0;
    let statement = Rect::from_min_size(pos2(rect.left(), top), vec2(rect.width(), 28.0));
    let hint = panel.ground.map_or("Choose one of the four above", |index| GROUNDS[index].2);
    field_ui(ui, statement, "statement", hint, &mut panel.statement);

    let row = Rect::from_min_size(pos2(rect.left(), statement.bottom() + 8.0), vec2(rect.width(), 28.0));
    let button = Rect::from_min_max(pos2(row.right() - 110.0, row.top()), row.max);
    let keep = Rect::from_min_max(pos2(button.left() - 158.0, row.top()), pos2(button.left() - 8.0, row.bottom()));
    let name = Rect::from_min_max(row.min, pos2(keep.left() - 8.0, row.bottom()));
    field_ui(ui, name, "name", "Name of the voice", &mut panel.name);
    let label = if panel.leaves_recordings_out { "Recordings: leave out" } else { "Recordings: keep" };
    let tip =
        "Kept in the file, Improve brings the voice nearer, and a later Coffre can make it anew. About 3 MB a minute.";
    if switch::button(ui, keep, ui.scope_id().with("keep"), label, tip).clicked() {
        panel.leaves_recordings_out = !panel.leaves_recordings_out;
    }
    let answers = panel.answers().filter(|_| is_ready);
    let tip = match (is_ready, answers.is_some()) {
        (false, _) => "The recordings are still being read.",
        (true, false) => "Answer the question and give a name first.",
        (true, true) => "",
    };
    if switch::button(ui, button, ui.scope_id().with("make"), "Make the voice", tip).clicked()
        && let Some(answers) = answers
    {
        actions.push(Action::MakeVoice(answers));
    }
}

fn ground_ui(ui: &mut Ui, rect: Rect, index: usize, label: &str, tip: &str, chosen: &mut Option<usize>) {
    let response = ui.interact(rect, ui.scope_id().with(("ground", index)), Sense::click());
    let is_chosen = *chosen == Some(index);
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, is_chosen, label));
    if response.clicked() {
        *chosen = Some(index);
    }
    let ground = match (is_chosen, response.hovered()) {
        (true, _) => theme::ACCENT_GROUND,
        (false, true) => theme::RAISED_HOVER,
        (false, false) => theme::RAISED,
    };
    let radius = CornerRadius::same(theme::FIELD_RADIUS);
    ui.painter().rect_filled(rect, radius, ground);
    if is_chosen {
        ui.painter().rect_stroke(rect, radius, Stroke::new(1.0, theme::ACCENT), StrokeKind::Inside);
    }
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect, theme::FIELD_RADIUS);
    }
    paint::text_in(ui, rect.shrink2(vec2(6.0, 0.0)), Align2::CENTER_CENTER, label, theme::regular(12.0), theme::TEXT);
    response.on_hover_text(tip);
}

/// A text field with a hint; `true` when Enter ended it.
fn field_ui(ui: &mut Ui, rect: Rect, name: &str, hint: &str, text: &mut String) -> bool {
    ui.painter().rect_filled(rect, CornerRadius::same(theme::FIELD_RADIUS), theme::WELL);
    let edit = egui::TextEdit::singleline(text)
        .id(ui.scope_id().with(name))
        .frame(egui::Frame::NONE)
        .font(theme::regular(12.5))
        .hint_text(egui::RichText::new(hint).color(theme::FAINT))
        .align(Align2::LEFT_CENTER)
        .char_limit(MAX_CHARS)
        .desired_width(rect.width() - 16.0);
    let response = ui.put(rect.shrink2(vec2(8.0, 0.0)), edit).accessible_name(hint);
    if response.has_focus() {
        paint::focus_ring(ui.painter(), rect, theme::FIELD_RADIUS);
    }
    response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_needs_a_name_and_an_answer_and_words_where_they_matter() {
        let mut panel = ClonePanel { name: "Kate".into(), ..ClonePanel::default() };
        assert_eq!(panel.answers(), None, "nothing is chosen beforehand");
        for (index, needs_words) in [(0, false), (1, true), (2, true), (3, false)] {
            panel.ground = Some(index);
            panel.statement.clear();
            assert_eq!(panel.answers().is_none(), needs_words, "{index}");
            panel.statement = "words".into();
            assert_eq!(panel.answers().map(|answers| answers.ground), Some(GROUNDS[index].0));
        }
        panel.name = "  ".into();
        assert_eq!(panel.answers(), None);
    }
}
