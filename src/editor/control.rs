//! How a view reaches the values of the parameters. Knows no framework: the plugin and the tests
//! each bring their own [`ControlAccess`].

use crate::parameter::Parameter;

/// A value's text as the editor shows it: no digits that say nothing, a true minus.
pub fn tidy(text: &str) -> String {
    let (number, unit) = match text.split_once(' ') {
        Some((number, unit)) => (number, Some(unit)),
        None => (text, None),
    };
    let Some(unit) = unit.filter(|_| number.parse::<f32>().is_ok()) else {
        // A word such as "off" needs no unit.
        return number.to_owned();
    };
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{} {unit}", number.replace('-', "−"))
}

/// How a view reads and writes the parameters. Values are normalised to `0.0..=1.0`. [main-thread]
pub trait ControlAccess {
    /// The present value.
    fn normalized(&self, control: Parameter) -> f32;
    /// The value after a reset.
    fn default_normalized(&self, control: Parameter) -> f32;
    /// Number of steps between lowest and highest; `None` = continuous.
    fn step_count(&self, control: Parameter) -> Option<usize>;
    /// A value as text with its unit.
    fn text(&self, control: Parameter, normalized: f32) -> String;
    /// The value of a typed text, if it makes sense.
    fn parse(&self, control: Parameter, text: &str) -> Option<f32>;
    /// Announces a gesture to the host; each is followed by one [`ControlAccess::end`].
    fn begin(&self, control: Parameter);
    /// Sets the value within a gesture.
    fn set(&self, control: Parameter, normalized: f32);
    /// Ends a gesture.
    fn end(&self, control: Parameter);

    /// A gesture of one value.
    fn set_once(&self, control: Parameter, normalized: f32) {
        self.begin(control);
        self.set(control, normalized.clamp(0.0, 1.0));
        self.end(control);
    }

    /// The present value as text with its unit.
    fn present_text(&self, control: Parameter) -> String {
        self.text(control, self.normalized(control))
    }

    /// The step a stepped control stands on, from 0.
    fn step_index(&self, control: Parameter) -> usize {
        let steps = self.step_count(control).unwrap_or(1) as f32;
        // Normalised values lie in 0..=1, so that the product is a small count.
        (self.normalized(control).clamp(0.0, 1.0) * steps).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_idle_digits() {
        for (raw, shown) in [
            ("+1.50 st", "+1.5 st"),
            ("-12.00 st", "−12 st"),
            ("0.00 dB", "0 dB"),
            ("100.0 %", "100 %"),
            ("off dB", "off"),
            ("on", "on"),
        ] {
            assert_eq!(tidy(raw), shown);
        }
    }
}
