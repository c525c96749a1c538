//! Colours, type and spacing: a dark, warm room with one brass accent. Runs on the editor's thread.

use std::sync::Arc;

use egui::{Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke, Vec2};

/// Window background.
pub const BACKGROUND: Color32 = Color32::from_rgb(0x15, 0x13, 0x11);
/// Cards on the background.
pub const CARD: Color32 = Color32::from_rgb(0x1E, 0x1B, 0x18);
/// Fields and buttons on a card.
pub const RAISED: Color32 = Color32::from_rgb(0x2A, 0x26, 0x22);
/// The same under the pointer.
pub const RAISED_HOVER: Color32 = Color32::from_rgb(0x35, 0x30, 0x2A);
/// Deepest tone: troughs of meters, text fields.
pub const WELL: Color32 = Color32::from_rgb(0x10, 0x0E, 0x0C);
/// Hairlines and idle arcs.
pub const LINE: Color32 = Color32::from_rgb(0x3C, 0x36, 0x2F);
/// Main text.
pub const TEXT: Color32 = Color32::from_rgb(0xF2, 0xEC, 0xE2);
/// Labels and second lines. At least 4.5 to 1 on every ground above (asserted below).
pub const DIM: Color32 = Color32::from_rgb(0xAE, 0xA4, 0x96);
/// Hints and grid names; 3 to 1 on a card.
pub const FAINT: Color32 = Color32::from_rgb(0x86, 0x7C, 0x70);
/// The accent: brass.
pub const ACCENT: Color32 = Color32::from_rgb(0xF0, 0xA8, 0x3C);
/// The accent as a ground for selected rows.
pub const ACCENT_GROUND: Color32 = Color32::from_rgb(0x3A, 0x2C, 0x17);
/// The singer's own curve.
pub const SOURCE: Color32 = Color32::from_rgb(0xA9, 0xB4, 0xBC);
/// All is well.
pub const GOOD: Color32 = Color32::from_rgb(0x8C, 0xC0, 0x84);
/// Something is wrong.
pub const BAD: Color32 = Color32::from_rgb(0xF0, 0x72, 0x5E);
/// Ground of a message about something wrong.
pub const BAD_GROUND: Color32 = Color32::from_rgb(0x3A, 0x1F, 0x1A);

/// Corner radius of cards.
pub const CARD_RADIUS: u8 = 10;
/// Corner radius of buttons and fields.
pub const FIELD_RADIUS: u8 = 6;
/// Distance between cards, and inside them from edge to content.
pub const GAP: f32 = 10.0;

/// Family of the semi-bold cut.
pub fn strong_family() -> FontFamily {
    FontFamily::Name("strong".into())
}

/// Regular text of a size in points.
pub fn regular(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// Semi-bold text of a size in points.
pub fn strong(size: f32) -> FontId {
    FontId::new(size, strong_family())
}

/// Gives fonts and style to a context; once per window.
pub fn apply(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    ctx.set_theme(egui::Theme::Dark);
    ctx.all_styles_mut(|style| {
        use egui::TextStyle;
        style.text_styles = [
            (TextStyle::Small, regular(11.0)),
            (TextStyle::Body, regular(13.0)),
            (TextStyle::Button, regular(13.0)),
            (TextStyle::Heading, strong(15.0)),
            (TextStyle::Monospace, regular(13.0)),
        ]
        .into();
        style.spacing.item_spacing = Vec2::new(8.0, 6.0);
        style.spacing.button_padding = Vec2::new(10.0, 5.0);
        style.spacing.tooltip_width = 280.0;
        style.spacing.window_margin = Margin::same(10);
        style.spacing.menu_margin = Margin::same(8);
        style.spacing.scroll = egui::style::ScrollStyle::thin();
        style.interaction.tooltip_delay = 0.6;
        style.interaction.selectable_labels = false;
        style.animation_time = 0.1;
        style.visuals = visuals();
    });
}

fn visuals() -> egui::Visuals {
    let mut visuals = egui::Visuals::dark();
    let radius = CornerRadius::same(FIELD_RADIUS);
    visuals.override_text_color = Some(TEXT);
    visuals.panel_fill = BACKGROUND;
    visuals.window_fill = RAISED;
    visuals.window_stroke = Stroke::new(1.0, LINE);
    visuals.window_corner_radius = CornerRadius::same(8);
    visuals.menu_corner_radius = CornerRadius::same(8);
    visuals.extreme_bg_color = WELL;
    visuals.text_edit_bg_color = Some(WELL);
    visuals.selection.bg_fill = Color32::from_rgb(0x6B, 0x4B, 0x1C);
    visuals.selection.stroke = Stroke::new(1.0, ACCENT);
    visuals.hyperlink_color = ACCENT;
    visuals.warn_fg_color = ACCENT;
    visuals.error_fg_color = BAD;
    for (widget, fill, line) in [
        (&mut visuals.widgets.noninteractive, CARD, LINE),
        (&mut visuals.widgets.inactive, RAISED, LINE),
        (&mut visuals.widgets.hovered, RAISED_HOVER, FAINT),
        (&mut visuals.widgets.active, RAISED_HOVER, ACCENT),
        (&mut visuals.widgets.open, RAISED_HOVER, LINE),
    ] {
        widget.bg_fill = fill;
        widget.weak_bg_fill = fill;
        widget.bg_stroke = Stroke::new(1.0, line);
        widget.fg_stroke = Stroke::new(1.0, TEXT);
        widget.corner_radius = radius;
        widget.expansion = 0.0;
    }
    visuals
}

/// Inter for Latin text, with egui's own fonts behind it for every other script.
fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let cuts: [(&str, &'static [u8]); 2] = [
        ("inter", include_bytes!("fonts/inter-regular.otf")),
        ("inter-strong", include_bytes!("fonts/inter-semibold.otf")),
    ];
    for (name, bytes) in cuts {
        fonts.font_data.insert(name.into(), Arc::new(FontData::from_static(bytes)));
    }
    let fallback = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    let with_fallback = |name: &str| std::iter::once(name.to_owned()).chain(fallback.iter().cloned()).collect();
    let (plain, strong): (Vec<String>, Vec<String>) = (with_fallback("inter"), with_fallback("inter-strong"));
    fonts.families.insert(FontFamily::Proportional, plain);
    fonts.families.insert(strong_family(), strong);
    fonts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast ratio of two colours after WCAG 2.1.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |colour: Color32| {
            let [r, g, b, _] = colour.to_array().map(|channel| {
                let value = f32::from(channel) / 255.0;
                if value <= 0.039_28 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_can_be_read_on_every_ground() {
        for ground in [BACKGROUND, CARD, RAISED, RAISED_HOVER, WELL, ACCENT_GROUND, BAD_GROUND] {
            assert!(contrast(TEXT, ground) > 7.0, "text on {ground:?}");
            assert!(contrast(DIM, ground) > 4.5, "dim on {ground:?}: {}", contrast(DIM, ground));
            assert!(contrast(ACCENT, ground) > 4.5, "accent on {ground:?}");
        }
        for ground in [BACKGROUND, CARD, WELL] {
            assert!(contrast(FAINT, ground) > 3.0, "faint on {ground:?}");
            assert!(contrast(BAD, ground) > 4.5);
            assert!(contrast(SOURCE, ground) > 4.5);
        }
    }
}
