//! Values as text and text as values, the way a person writes them.

use std::sync::Arc;

use crate::bridge::Session;
use crate::engine::VOICE_SLOTS;

type FromFloat = Arc<dyn Fn(f32) -> String + Send + Sync>;
type ToFloat = Arc<dyn Fn(&str) -> Option<f32> + Send + Sync>;
type FromInt = Arc<dyn Fn(i32) -> String + Send + Sync>;
type ToInt = Arc<dyn Fn(&str) -> Option<i32> + Send + Sync>;
type FromBool = Arc<dyn Fn(bool) -> String + Send + Sync>;
type ToBool = Arc<dyn Fn(&str) -> Option<bool> + Send + Sync>;

/// "+1.50", "-0.25", "0.00".
pub(super) fn signed(digits: usize) -> FromFloat {
    Arc::new(move |value| {
        let text = format!("{value:+.digits$}");
        // No sign on what is shown as zero.
        if text.bytes().all(|byte| matches!(byte, b'+' | b'-' | b'0' | b'.')) { text[1..].to_owned() } else { text }
    })
}

/// "60.0".
pub(super) fn unsigned(digits: usize) -> FromFloat {
    Arc::new(move |value| format!("{:.digits$}", value.max(0.0)))
}

/// The number that a text begins with, whatever unit follows.
pub(super) fn number() -> ToFloat {
    Arc::new(leading_number)
}

/// "off" at `off` or below, else a level.
pub(super) fn gate(off: f32) -> FromFloat {
    Arc::new(move |value| if value <= off { "off".to_owned() } else { format!("{value:.1}") })
}

/// A level, or "off".
pub(super) fn gate_value(off: f32) -> ToFloat {
    Arc::new(move |text| {
        let word = text.trim().to_lowercase();
        if word.starts_with("off") { Some(off) } else { leading_number(&word) }
    })
}

/// "on" and "off".
pub(super) fn on_off() -> FromBool {
    Arc::new(|value| if value { "on" } else { "off" }.to_owned())
}

/// Whatever a person may write for it.
pub(super) fn is_on() -> ToBool {
    Arc::new(|text| match text.trim().to_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => Some(true),
        "off" | "no" | "false" | "0" => Some(false),
        _ => None,
    })
}

/// The name of the slot's voice; its number when the slot is empty or the name would not lead back to it.
pub(super) fn slot_name(session: Arc<Session>) -> FromInt {
    Arc::new(move |value| {
        let name = usize::try_from(value - 1).ok().and_then(|slot| session.slot_name(slot));
        name.filter(|name| slot_of(&session, name) == Some(value)).unwrap_or_else(|| value.to_string())
    })
}

/// The slot of a voice's name, or a slot's number.
pub(super) fn slot_number(session: Arc<Session>) -> ToInt {
    Arc::new(move |text| slot_of(&session, text))
}

/// Slot, counted from 1. A number is a slot's number even if a voice is named like one.
fn slot_of(session: &Session, text: &str) -> Option<i32> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i32>() {
        return Some(number.clamp(1, VOICE_SLOTS as i32));
    }
    let is_named = |voice: &Option<crate::bridge::VoiceRef>| {
        voice.as_ref().is_some_and(|voice| voice.name.trim().to_lowercase() == text.to_lowercase())
    };
    session.slots().iter().position(is_named).map(|slot| slot as i32 + 1)
}

fn leading_number(text: &str) -> Option<f32> {
    let text = text.trim().replace('\u{2212}', "-").replace(',', ".");
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    text[..end].parse().ok().filter(|value: &f32| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::VoiceRef;

    #[test]
    fn numbers_are_written_and_read() {
        assert_eq!([signed(2)(1.5), signed(2)(-0.25), signed(2)(-0.001)], ["+1.50", "-0.25", "0.00"]);
        for (text, value) in [("+1.50 st", 1.5), ("−3 st", -3.0), ("60 %", 60.0), (" 0,5dB", 0.5), (".5", 0.5)] {
            assert_eq!(number()(text), Some(value), "{text}");
        }
        for text in ["", "st", "NaN", "inf", "--1", "1.2.3"] {
            assert_eq!(number()(text), None, "{text}");
        }
    }

    #[test]
    fn the_gate_has_a_word_for_off() {
        assert_eq!([gate(-100.0)(-100.0), gate(-100.0)(-60.0)], ["off", "-60.0"]);
        assert_eq!((gate_value(-100.0)("Off dB"), gate_value(-100.0)("-55.5 dB")), (Some(-100.0), Some(-55.5)));
    }

    #[test]
    fn a_voice_is_named_where_the_name_leads_back() {
        let session = Arc::new(Session::default());
        let voice = |name: &str| Some(VoiceRef { name: name.to_owned(), ..VoiceRef::default() });
        session.set_slots([voice("Alto"), voice("7"), voice("alto"), None]);
        let (name, number) = (slot_name(session.clone()), slot_number(session));
        assert_eq!([name(1), name(2), name(3), name(4)], ["Alto", "2", "3", "4"]);
        for slot in 1..=16 {
            assert_eq!(number(&name(slot)), Some(slot));
        }
        assert_eq!((number("ALTO "), number("nobody"), number("99")), (Some(1), None, Some(16)));
    }
}
