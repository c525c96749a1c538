//! Source and output F0 over time, on a logarithmic axis with note names. Runs on the editor's thread.

use egui::{Align2, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, remap, vec2};

use super::model::EditorModel;
use super::note::{midi_from_hz, note_and_cents, note_name};
use super::trace::{PitchPoint, PitchTrace};
use super::{paint, theme};

/// Hops across the picture: eight seconds.
const SHOWN_HOPS: usize = 800;
/// A jump of more semitones than this between two hops starts a new line.
const BREAK_ST: f32 = 7.0;
/// Least range of the axis, in semitones.
const LEAST_SPAN_ST: f32 = 18.0;
/// Hops for which the legend keeps naming a note that has ended.
const LEGEND_HOPS: usize = 30;

/// The axis as it is drawn, following the singer slowly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PitchAxis {
    low: f32,
    high: f32,
}

impl Default for PitchAxis {
    fn default() -> Self {
        Self { low: 43.0, high: 74.0 }
    }
}

impl PitchAxis {
    /// Moves towards the range that shows the whole trace, within `passed_s`.
    pub fn follow(&mut self, trace: &PitchTrace, passed_s: f32) {
        let Some((low, high)) = trace.extent_hz() else { return };
        let (mut low, mut high) = (midi_from_hz(low) - 3.0, midi_from_hz(high) + 3.0);
        let lacking = (LEAST_SPAN_ST - (high - low)).max(0.0) / 2.0;
        low -= lacking;
        high += lacking;
        let share = 1.0 - (-passed_s.clamp(0.0, 1.0) * 5.0).exp();
        self.low += (low - self.low) * share;
        self.high += (high - self.high) * share;
    }
}

/// The whole card.
pub fn pitch_ui(ui: &mut Ui, rect: Rect, model: &EditorModel, axis: &PitchAxis) {
    paint::card(ui, rect);
    let inner = rect.shrink2(vec2(12.0, 8.0));
    let head = Rect::from_min_size(inner.min, vec2(inner.width(), 20.0));
    let plot = Rect::from_min_max(pos2(inner.left() + 28.0, head.bottom() + 4.0), inner.max);
    let spoken = legend(ui, head, &model.trace);
    let response = ui.interact(rect, ui.scope_id().with("pitch"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::GraphicsDocument, true, &spoken));
    if plot.height() < 24.0 || plot.width() < 40.0 {
        return;
    }
    grid(ui, plot, axis);
    if model.trace.extent_hz().is_none() {
        let hint = Rect::from_center_size(plot.center(), vec2(plot.width() - 16.0, 24.0));
        let text = "Sing, and your pitch appears here";
        paint::text_in(ui, hint, Align2::CENTER_CENTER, text, theme::regular(13.0), theme::DIM);
        return;
    }
    let clipped = ui.painter().with_clip_rect(plot.expand2(vec2(2.0, 0.0)));
    curve(&clipped, plot, axis, &model.trace, |point| point.source_hz, Stroke::new(1.6, theme::SOURCE));
    curve(&clipped, plot, axis, &model.trace, |point| point.output_hz, Stroke::new(2.2, theme::ACCENT));
    response.on_hover_text("Your pitch (grey) and the pitch that comes out (gold), over the last eight seconds.");
}

/// Title and the notes of the moment. Returns the same for assistive programs.
fn legend(ui: &Ui, head: Rect, trace: &PitchTrace) -> String {
    let title = paint::text_in(ui, head, Align2::LEFT_CENTER, "Pitch", theme::strong(13.0), theme::TEXT);
    let source = trace.latest_hz(LEGEND_HOPS, |point| point.source_hz).map(note_and_cents).unwrap_or_default();
    let output = trace.latest_hz(LEGEND_HOPS, |point| point.output_hz).map(note_and_cents).unwrap_or_default();
    // Fixed places, so that nothing moves while the notes change.
    let item_width = 118.0_f32.min((head.right() - title.right() - 12.0) / 2.0);
    for (index, (name, note, colour)) in
        [("Coffre", &output, theme::ACCENT), ("You", &source, theme::SOURCE)].into_iter().enumerate()
    {
        let right = head.right() - item_width * index as f32;
        let item = Rect::from_min_max(pos2(right - item_width, head.top()), pos2(right, head.bottom()));
        ui.painter().circle_filled(pos2(item.left() + 5.0, item.center().y), 4.0, colour);
        let text_rect = Rect::from_min_max(pos2(item.left() + 14.0, item.top()), item.max);
        let text = if note.is_empty() { format!("{name}  –") } else { format!("{name}  {note}") };
        paint::text_in(ui, text_rect, Align2::LEFT_CENTER, &text, theme::regular(12.0), theme::DIM);
    }
    let or_rest = |note: &str| if note.is_empty() { "silent".to_owned() } else { note.to_owned() };
    format!("Pitch. You: {}. Coffre: {}.", or_rest(&source), or_rest(&output))
}

fn y_of(plot: Rect, axis: &PitchAxis, midi: f32) -> f32 {
    remap(midi, axis.low..=axis.high, plot.bottom()..=plot.top())
}

fn grid(ui: &Ui, plot: Rect, axis: &PitchAxis) {
    let painter = ui.painter();
    let per_semitone = plot.height() / (axis.high - axis.low).max(1.0);
    // A name needs 13 points of height; the more room, the more of the scale is named.
    let named: &[i32] = match per_semitone {
        room if room * 2.0 > 13.0 => &[0, 2, 4, 7, 9],
        room if room * 5.0 > 13.0 => &[0, 7],
        room if room * 12.0 > 13.0 => &[0],
        _ => &[],
    };
    // The axis lies within the range of `PitchTrace::push`, far inside i32.
    for midi in axis.low.ceil() as i32..=axis.high.floor() as i32 {
        let class = midi.rem_euclid(12);
        let y = y_of(plot, axis, midi as f32);
        if class == 0 || named.contains(&class) {
            let colour = if class == 0 { theme::LINE } else { theme::RAISED };
            painter.hline(plot.x_range(), y, Stroke::new(1.0, colour));
        }
        let clear = y - plot.top() > 6.0 && plot.bottom() - y > 6.0;
        if named.contains(&class) && clear {
            let colour = if class == 0 { theme::DIM } else { theme::FAINT };
            painter.text(
                pos2(plot.left() - 6.0, y),
                Align2::RIGHT_CENTER,
                note_name(midi),
                theme::regular(10.0),
                colour,
            );
        }
    }
    // A faint line per second.
    for second in 1..SHOWN_HOPS / 100 {
        let x = plot.right() - plot.width() * second as f32 * 100.0 / SHOWN_HOPS as f32;
        painter.vline(x, plot.y_range(), Stroke::new(1.0, theme::RAISED.gamma_multiply(0.6)));
    }
}

/// One curve, broken at silence and at leaps.
fn curve(
    painter: &egui::Painter,
    plot: Rect,
    axis: &PitchAxis,
    trace: &PitchTrace,
    of: impl Fn(&PitchPoint) -> f32,
    stroke: Stroke,
) {
    let mut run = Vec::new();
    let mut last: Option<f32> = None;
    let flush = |run: &mut Vec<egui::Pos2>| {
        if run.len() == 1 {
            painter.circle_filled(run[0], stroke.width / 2.0, stroke.color);
        } else if run.len() > 1 {
            painter.add(Shape::line(std::mem::take(run), stroke));
        }
        run.clear();
    };
    for (age, point) in trace.newest_first().take(SHOWN_HOPS).enumerate() {
        let hz = of(&point);
        if hz <= 0.0 {
            flush(&mut run);
            last = None;
            continue;
        }
        let midi = midi_from_hz(hz);
        if last.is_some_and(|before: f32| (before - midi).abs() > BREAK_ST) {
            flush(&mut run);
        }
        last = Some(midi);
        run.push(pos2(plot.right() - plot.width() * age as f32 / SHOWN_HOPS as f32, y_of(plot, axis, midi)));
    }
    flush(&mut run);
}

#[cfg(test)]
mod tests {
    use super::super::note::hz_from_midi;
    use super::*;

    #[test]
    fn axis_comes_to_hold_the_whole_trace() {
        let mut trace = PitchTrace::default();
        for hz in [110.0, 880.0] {
            trace.push(PitchPoint { source_hz: hz, output_hz: 0.0 });
        }
        let mut axis = PitchAxis::default();
        for _ in 0..200 {
            axis.follow(&trace, 0.03);
        }
        assert!(axis.low < midi_from_hz(110.0) && axis.high > midi_from_hz(880.0));
    }

    #[test]
    fn a_held_note_does_not_fill_the_picture() {
        let mut trace = PitchTrace::default();
        trace.push(PitchPoint { source_hz: hz_from_midi(60.0), output_hz: 0.0 });
        let mut axis = PitchAxis::default();
        for _ in 0..200 {
            axis.follow(&trace, 0.03);
        }
        assert!(axis.high - axis.low > LEAST_SPAN_ST - 0.5);
        assert!((axis.high + axis.low) / 2.0 > 59.0 && (axis.high + axis.low) / 2.0 < 61.0);
    }
}
