//! Level meters with peak hold and a clip mark. The ballistics know no drawing; both run on the editor's thread.

use egui::{Align2, CornerRadius, Rect, Role, Sense, Ui, WidgetInfo, lerp, pos2, remap_clamp, vec2};

use super::{paint, theme};

/// Lowest level shown, in dBFS.
pub const FLOOR_DB: f32 = -60.0;
/// Highest level shown, in dBFS.
pub const TOP_DB: f32 = 3.0;
/// Fall of the bar, in dB per second.
const FALL_DB_PER_S: f32 = 26.0;
/// How long the peak mark stands before it falls.
const HOLD_S: f32 = 1.5;

/// Bar, peak mark and clip mark of one meter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meter {
    /// Level of the bar in dBFS, in `FLOOR_DB..=TOP_DB`.
    pub level_db: f32,
    /// Level of the peak mark in dBFS, in `FLOOR_DB..=TOP_DB`.
    pub hold_db: f32,
    /// Whether a sample reached full scale since the mark was cleared.
    pub clipped: bool,
    hold_age_s: f32,
}

impl Default for Meter {
    fn default() -> Self {
        Self { level_db: FLOOR_DB, hold_db: FLOOR_DB, clipped: false, hold_age_s: 0.0 }
    }
}

impl Meter {
    /// Takes the largest sample since the last call, linear, and the time since then. A peak that is not a number
    /// counts as clipped.
    pub fn update(&mut self, peak: f32, passed_s: f32) {
        let passed_s = if passed_s.is_finite() { passed_s.clamp(0.0, 1.0) } else { 0.0 };
        let peak_db = if peak.is_finite() { 20.0 * peak.abs().max(1e-6).log10() } else { TOP_DB };
        let peak_db = peak_db.clamp(FLOOR_DB, TOP_DB);
        self.clipped |= !peak.is_finite() || peak.abs() >= 1.0;
        self.level_db = peak_db.max(self.level_db - FALL_DB_PER_S * passed_s).max(FLOOR_DB);
        self.hold_age_s += passed_s;
        if peak_db >= self.hold_db {
            self.hold_db = peak_db;
            self.hold_age_s = 0.0;
        } else if self.hold_age_s > HOLD_S {
            self.hold_db = (self.hold_db - FALL_DB_PER_S * passed_s).max(self.level_db);
        }
    }

    /// The peak mark as text.
    pub fn text(&self) -> String {
        if self.hold_db <= FLOOR_DB {
            "– dB".to_owned()
        } else {
            format!("{:+.0} dB", self.hold_db).replace('-', "−")
        }
    }
}

/// Draws a meter standing in `rect`, with its scale on the side of `scale` if that is wide enough.
pub fn meter_ui(ui: &mut Ui, rect: Rect, name: &str, meter: &mut Meter, scale_right: bool) {
    let clip_rect = Rect::from_min_size(rect.min, vec2(rect.width(), 12.0));
    let text_rect = Rect::from_min_max(pos2(rect.left(), rect.bottom() - 16.0), rect.max);
    let bar_width = 8.0;
    let column =
        Rect::from_min_max(pos2(rect.left(), clip_rect.bottom() + 4.0), pos2(rect.right(), text_rect.top() - 5.0));
    let bar_left = if scale_right { column.left() + 6.0 } else { column.right() - 6.0 - bar_width };
    let bar = Rect::from_min_size(pos2(bar_left, column.top()), vec2(bar_width, column.height()));
    let y_of = |db: f32| remap_clamp(db, FLOOR_DB..=TOP_DB, bar.bottom()..=bar.top());
    let painter = ui.painter();
    let radius = CornerRadius::same(3);
    painter.rect_filled(bar, radius, theme::WELL);

    let top = y_of(meter.level_db);
    if meter.level_db > FLOOR_DB + 0.2 {
        // Three tones: comfortable, loud, over.
        for (from_db, to_db, colour) in
            [(FLOOR_DB, -12.0, theme::SOURCE), (-12.0, 0.0, theme::ACCENT), (0.0, TOP_DB, theme::BAD)]
        {
            let part = Rect::from_min_max(pos2(bar.left(), y_of(to_db).max(top)), pos2(bar.right(), y_of(from_db)));
            if part.height() > 0.0 {
                painter.rect_filled(part, CornerRadius::same(1), colour);
            }
        }
    }
    if meter.hold_db > FLOOR_DB + 0.2 {
        let colour = if meter.hold_db >= 0.0 { theme::BAD } else { theme::TEXT };
        painter.hline(bar.x_range(), y_of(meter.hold_db), egui::Stroke::new(1.5, colour));
    }
    for db in [0.0_f32, -12.0, -24.0, -36.0, -48.0] {
        let y = y_of(db);
        let text = format!("{:.0}", db.abs());
        let x = if scale_right { bar.right() + 6.0 } else { bar.left() - 6.0 };
        let align = if scale_right { Align2::LEFT_CENTER } else { Align2::RIGHT_CENTER };
        painter.text(pos2(x, y), align, text, theme::regular(9.5), theme::FAINT);
    }

    let lamp = Rect::from_center_size(pos2(bar.center().x, clip_rect.center().y), vec2(bar_width, 6.0));
    let colour = if meter.clipped { theme::BAD } else { theme::LINE };
    painter.rect_filled(lamp, CornerRadius::same(2), colour);
    let hold = meter.text();
    let colour = if meter.clipped { theme::BAD } else { theme::DIM };
    paint::text_in(ui, text_rect, Align2::CENTER_CENTER, &hold, theme::regular(11.0), colour);

    let response = ui.interact(rect, ui.scope_id().with(("meter", name)), Sense::click());
    let spoken = format!("{name} level, peak {hold}");
    response.widget_info(|| WidgetInfo {
        value: Some(f64::from(meter.level_db)),
        ..WidgetInfo::labeled(Role::Meter, true, &spoken)
    });
    if response.clicked() {
        *meter = Meter { level_db: meter.level_db, hold_db: meter.level_db, ..Meter::default() };
    }
    response.on_hover_text(if meter.clipped {
        "Too loud: full scale was reached. Turn the gain down, then click here to clear the red mark."
    } else {
        "The line is the loudest moment of the last seconds. Click to clear it."
    });
}

/// A lying bar for a share of something, in the accent.
pub fn progress(ui: &Ui, rect: Rect, share: f32) {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let radius = CornerRadius::same((rect.height() / 2.0) as u8);
    ui.painter().rect_filled(rect, radius, theme::WELL);
    if share > 0.0 {
        let right = lerp(rect.left()..=rect.right(), share).max(rect.left() + rect.height());
        ui.painter().rect_filled(Rect::from_min_max(rect.min, pos2(right, rect.bottom())), radius, theme::ACCENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_falls_and_peak_stands_for_a_while() {
        let mut meter = Meter::default();
        meter.update(0.5, 0.02);
        assert!((meter.level_db + 6.02).abs() < 0.05);
        for _ in 0..50 {
            meter.update(0.0, 0.02);
        }
        assert!((meter.level_db + 32.0).abs() < 0.2, "{}", meter.level_db);
        assert!((meter.hold_db + 6.02).abs() < 0.05, "held for {HOLD_S} s");
        for _ in 0..500 {
            meter.update(0.0, 0.02);
        }
        assert_eq!((meter.level_db, meter.hold_db), (FLOOR_DB, FLOOR_DB));
        assert_eq!(meter.text(), "– dB");
    }

    #[test]
    fn full_scale_and_nonsense_light_the_clip_mark() {
        for peak in [1.0, 1000.0, f32::NAN, f32::INFINITY] {
            let mut meter = Meter::default();
            meter.update(peak, 0.02);
            assert!(meter.clipped, "{peak}");
            assert!(meter.level_db <= TOP_DB);
        }
        let mut meter = Meter::default();
        meter.update(0.999, f32::NAN);
        assert!(!meter.clipped && meter.level_db.is_finite());
    }
}
