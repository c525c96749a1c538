//! Which phones the recordings contain, and what to read for the missing ones.
//!
//! The content encoder knows the phones of English; other languages share most of them. Coverage is advice only: for a
//! missing phone a bank gives the most similar one.

/// Frames of a phone that are enough for the bank to answer with it: 0.06 s, two bursts of a plosive.
pub const ENOUGH_FRAMES: u32 = 6;

/// Lines to read, with the phones they hold according to the CMU pronouncing dictionary.
const LINES: [(&str, &str); 12] = [
    (
        "The bright young fox jumps quickly over a lazy old dog near the quiet fence.",
        "AA AH AO AY B D DH EH ER EY F G IH IY JH K L M N NG OW P R S T V W Y Z",
    ),
    (
        "She chose a thin measure of beige wool, though her boy enjoys the blue.",
        "AH B CH DH EH ER EY HH IH IY JH L M N OW OY SH TH UH UW V W Z ZH",
    ),
    (
        "We saw five huge ships leave the harbour in the usual evening fog.",
        "AA AH AO AY B DH ER F G HH IH IY JH L N NG P R S SH UW V W Y ZH",
    ),
    (
        "Both judges thought that the weather was good enough for a long voyage.",
        "AA AE AH AO B D DH EH ER F G IH JH L N NG OW OY R T TH UH V W Z",
    ),
    (
        "Please bring the yellow chair, some cheese and a cup of hot coffee.",
        "AA AH B CH D DH EH F HH IH IY K L M N NG OW P R S T V Y Z",
    ),
    (
        "Joy could hear the thunder while the children slept in the warm house.",
        "AH AO AW AY CH D DH EH ER HH IH IY JH K L M N OY P R S T TH UH W",
    ),
    (
        "Few people knew where the treasure of the royal family was buried.",
        "AA AE AH B D DH EH ER F IY L M N OY P R T UW V W Y Z ZH",
    ),
    (
        "My father drives a large van through the narrow village each Thursday.",
        "AA AE AH AY CH D DH EH ER EY F IH IY JH L M N OW R TH UW V Z",
    ),
    (
        "You should put the sugar back on the shelf beside the window.",
        "AA AE AH AY B D DH EH ER F G IH K L N OW P S SH T UH UW W Y",
    ),
    ("Out in the yard, nine brown birds sing loudly at dawn.", "AA AE AH AO AW AY B D DH ER IH IY L N NG R S T Y Z"),
    ("The vision of a rich azure sea gave them pleasure and peace.", "AE AH CH D DH EH ER EY G IH IY L M N P R S V ZH"),
    (
        "Hang the heavy coat on the hook and watch your step, Roy.",
        "AA AE AH AO CH D DH EH HH IY K N NG OW OY P R S T UH V W Y",
    ),
];

/// Example words for phones, for people who do not read ARPABET.
const EXAMPLES: [(&str, &str); 39] = [
    ("AA", "o in hot"),
    ("AE", "a in hat"),
    ("AH", "u in hut"),
    ("AO", "aw in saw"),
    ("AW", "ow in cow"),
    ("AY", "i in hide"),
    ("B", "b"),
    ("CH", "ch"),
    ("D", "d"),
    ("DH", "th in this"),
    ("EH", "e in bed"),
    ("ER", "ur in hurt"),
    ("EY", "a in day"),
    ("F", "f"),
    ("G", "g"),
    ("HH", "h"),
    ("IH", "i in it"),
    ("IY", "ee"),
    ("JH", "j in joy"),
    ("K", "k"),
    ("L", "l"),
    ("M", "m"),
    ("N", "n"),
    ("NG", "ng"),
    ("OW", "o in go"),
    ("OY", "oy"),
    ("P", "p"),
    ("R", "r"),
    ("S", "s"),
    ("SH", "sh"),
    ("T", "t"),
    ("TH", "th in thin"),
    ("UH", "oo in book"),
    ("UW", "oo in two"),
    ("V", "v"),
    ("W", "w"),
    ("Y", "y"),
    ("Z", "z"),
    ("ZH", "s in measure"),
];

/// What is missing, and the line that helps most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Coverage {
    /// Share of the phones that are covered, in `0.0..=1.0`.
    pub share: f32,
    /// Names of the missing phones, in the order of the encoder's classes.
    pub missing: Vec<String>,
    /// The line to read next; `None` when nothing is missing.
    pub line: Option<&'static str>,
}

impl Coverage {
    /// From the number of frames per class; class 0 is silence.
    pub fn measure(frames: &[u32], names: &[String]) -> Self {
        let phones = || names.iter().zip(frames).skip(1);
        let missing: Vec<String> =
            phones().filter(|(_, count)| **count < ENOUGH_FRAMES).map(|(name, _)| name.clone()).collect();
        let share = 1.0 - missing.len() as f32 / phones().count().max(1) as f32;
        Self { share, line: line_for(&missing), missing }
    }

    /// The missing phones in words: "oy, s in measure".
    pub fn missing_words(&self) -> String {
        self.missing.iter().map(|name| example(name)).collect::<Vec<_>>().join(", ")
    }
}

/// A phone as people know it.
fn example(name: &str) -> &str {
    EXAMPLES.iter().find(|(phone, _)| *phone == name).map_or(name, |(_, example)| example)
}

/// The line with the most of the missing phones; the earlier one of two that have as many.
fn line_for(missing: &[String]) -> Option<&'static str> {
    let found = |phones: &str| missing.iter().filter(|name| phones.split(' ').any(|phone| phone == *name)).count();
    let best = LINES.iter().rev().max_by_key(|(_, phones)| found(phones))?;
    (found(best.1) > 0).then_some(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        std::iter::once("SIL").chain(EXAMPLES.iter().map(|(name, _)| *name)).map(str::to_owned).collect()
    }

    #[test]
    fn the_lines_together_hold_every_phone() {
        for (name, _) in EXAMPLES {
            assert!(LINES.iter().any(|(_, phones)| phones.split(' ').any(|phone| phone == name)), "{name}");
        }
        let every_word = LINES.iter().flat_map(|(_, phones)| phones.split(' '));
        assert!(every_word.clone().all(|phone| EXAMPLES.iter().any(|(name, _)| *name == phone)));
    }

    #[test]
    fn a_missing_phone_is_named_with_a_line_that_has_it() {
        let mut frames = [ENOUGH_FRAMES; 40];
        assert_eq!(Coverage::measure(&frames, &names()), Coverage { share: 1.0, ..Coverage::default() });
        frames[26] = 3;
        let coverage = Coverage::measure(&frames, &names());
        assert_eq!(coverage.missing, ["OY"]);
        assert_eq!(coverage.missing_words(), "oy");
        assert!(coverage.line.is_some_and(|line| line.contains("boy")));
        assert!(Coverage::measure(&[0; 40], &names()).share < 0.01);
    }

    #[test]
    fn reading_the_suggested_lines_ends() {
        let mut missing: Vec<String> = names()[1..].to_vec();
        for _ in 0..6 {
            let Some(line) = line_for(&missing) else { return };
            let phones = LINES.iter().find(|(text, _)| *text == line).expect("one of them").1;
            missing.retain(|name| !phones.split(' ').any(|phone| phone == name));
        }
        assert!(missing.is_empty(), "{missing:?}");
    }
}
