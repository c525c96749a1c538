//! Files that are often taken for audio, by their first bytes, in plain words.

/// What a file is that holds no sound which could be read; `None` when it may.
pub(super) fn not_audio(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 14] = [
        (b"\x00\x05\x16\x07", "it belongs to another file, which a Mac wrote, and holds no sound itself"),
        (b"\x30\x26\xb2\x75", "it is Windows Media, which Coffre cannot read"),
        (b"\x1a\x45\xdf\xa3", "it is a video of the kind MKV or WebM, which Coffre cannot read"),
        (b"#!AMR", "it is AMR of a telephone, which Coffre cannot read"),
        (b"MAC ", "it is Monkey's Audio, which Coffre cannot read"),
        (b"wvpk", "it is WavPack, which Coffre cannot read"),
        (b"DSD ", "it is DSD, which Coffre cannot read"),
        (b"FRM8", "it is DSD, which Coffre cannot read"),
        (b"MThd", "it is MIDI: notes, no sound"),
        (b"PK\x03\x04", "it is a ZIP archive; unpack it first"),
        (b"%PDF", "it is a PDF"),
        (b"\x89PNG", "it is a picture"),
        (b"\xff\xd8\xff", "it is a picture"),
        (b"<", "it is text, perhaps a web page that was saved instead of the sound"),
    ];
    KINDS.iter().find_map(|(magic, what)| start.starts_with(magic).then_some(*what))
}
