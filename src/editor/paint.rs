//! Small drawing helpers that several views share: text that fits, arcs, icons.

use std::sync::Arc;

use egui::text::{LayoutJob, TextWrapping};
use egui::{Align2, Color32, CornerRadius, FontId, Galley, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, vec2};

use super::theme;

/// Lays out one line that is at most `max_width` wide and ends in an ellipsis when cut.
pub fn line(ui: &Ui, text: &str, font: FontId, colour: Color32, max_width: f32) -> Arc<Galley> {
    let mut job = LayoutJob::simple_singleline(text.to_owned(), font, colour);
    job.wrap = TextWrapping::truncate_at_width(max_width.max(1.0));
    ui.fonts_mut(|fonts| fonts.layout_job(job))
}

/// Paints one line, cut to the width of `rect`, at the given place of it. Returns where it lies.
pub fn text_in(ui: &Ui, rect: Rect, anchor: Align2, text: &str, font: FontId, colour: Color32) -> Rect {
    let galley = line(ui, text, font, colour, rect.width());
    let placed = anchor.align_size_within_rect(galley.size(), rect);
    ui.painter().galley(placed.min, galley, colour);
    placed
}

/// Paints a text of several lines at the left of `rect`, in the middle of its height; what does not fit ends in an
/// ellipsis.
pub fn block_in(ui: &Ui, rect: Rect, text: &str, font: FontId, colour: Color32) {
    let mut job = LayoutJob::simple(text.to_owned(), font.clone(), colour, rect.width().max(1.0));
    let row_height = ui.fonts_mut(|fonts| fonts.row_height(&font));
    job.wrap.max_rows = ((rect.height() + 1.0) / row_height).floor().max(1.0) as usize;
    let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
    let placed = Align2::LEFT_CENTER.align_size_within_rect(galley.size(), rect);
    ui.painter().galley(placed.min, galley, colour);
}

/// A ground with rounded corners.
pub fn card(ui: &Ui, rect: Rect) {
    ui.painter().rect_filled(rect, CornerRadius::same(theme::CARD_RADIUS), theme::CARD);
}

/// An arc around `centre`; angles in radians, clockwise from three o'clock, as the screen's y axis has it.
pub fn arc(painter: &Painter, centre: Pos2, radius: f32, from: f32, to: f32, stroke: Stroke) {
    // One point per 4 degrees keeps the largest knob round at 2x.
    let count = ((to - from).abs() / 0.07).ceil().max(1.0) as usize;
    let at = |angle: f32| centre + radius * vec2(angle.cos(), angle.sin());
    let points: Vec<Pos2> = (0..=count).map(|index| at(from + (to - from) * index as f32 / count as f32)).collect();
    let ends = [points[0], points[count]];
    painter.add(Shape::line(points, stroke));
    for end in ends {
        painter.circle_filled(end, stroke.width / 2.0, stroke.color);
    }
}

/// The mark of Coffre: a small safe, its dial and its hinges.
pub fn logo(painter: &Painter, rect: Rect) {
    let size = rect.width();
    let line = Stroke::new(size * 0.075, theme::ACCENT);
    let door = rect.shrink(size * 0.08);
    painter.rect(door, CornerRadius::same((size * 0.2) as u8), theme::ACCENT_GROUND, line, StrokeKind::Inside);
    let dial = door.center();
    painter.circle_stroke(dial, size * 0.19, line);
    for angle in [-0.5_f32, 1.594, 3.69] {
        let spoke = vec2(angle.cos(), angle.sin());
        painter.line_segment([dial + spoke * size * 0.19, dial + spoke * size * 0.3], line);
    }
    painter.circle_filled(dial, size * 0.06, theme::ACCENT);
}

/// A magnifying glass.
pub fn magnifier(painter: &Painter, centre: Pos2, colour: Color32) {
    let stroke = Stroke::new(1.5, colour);
    painter.circle_stroke(centre - vec2(1.5, 1.5), 4.0, stroke);
    painter.line_segment([centre + vec2(1.6, 1.6), centre + vec2(5.0, 5.0)], stroke);
}

/// A cross, for clearing.
pub fn cross(painter: &Painter, centre: Pos2, half: f32, colour: Color32) {
    let stroke = Stroke::new(1.5, colour);
    painter.line_segment([centre - vec2(half, half), centre + vec2(half, half)], stroke);
    painter.line_segment([centre + vec2(half, -half), centre + vec2(-half, half)], stroke);
}

/// A tick, for what is in order.
pub fn tick(painter: &Painter, centre: Pos2, colour: Color32) {
    let points = vec![centre + vec2(-3.5, 0.2), centre + vec2(-1.0, 2.8), centre + vec2(3.8, -2.8)];
    painter.add(Shape::line(points, Stroke::new(1.6, colour)));
}

/// A triangle, for listening.
pub fn play(painter: &Painter, centre: Pos2, colour: Color32) {
    let points = vec![centre + vec2(-3.0, -4.5), centre + vec2(4.5, 0.0), centre + vec2(-3.0, 4.5)];
    painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
}

/// A square, for stopping.
pub fn stop(painter: &Painter, centre: Pos2, colour: Color32) {
    painter.rect_filled(Rect::from_center_size(centre, vec2(7.0, 7.0)), CornerRadius::same(1), colour);
}

/// A power sign, for bypass.
pub fn power(painter: &Painter, centre: Pos2, colour: Color32) {
    let stroke = Stroke::new(1.6, colour);
    let gap = 0.7;
    let up = -std::f32::consts::FRAC_PI_2;
    arc(painter, centre, 5.0, up + gap, up + std::f32::consts::TAU - gap, stroke);
    painter.line_segment([centre - vec2(0.0, 6.5), centre - vec2(0.0, 1.0)], stroke);
}

/// The ring around what has the keyboard's attention.
pub fn focus_ring(painter: &Painter, rect: Rect, radius: u8) {
    painter.rect_stroke(rect, CornerRadius::same(radius), Stroke::new(1.5, theme::ACCENT), StrokeKind::Outside);
}
