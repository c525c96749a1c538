"""Sung notes whose pitch is exactly known: what comes out of a conversion against what was asked for.

The notes are synthetic (`train/f0_truth.py`), 80 to 1000 Hz, held, with vibrato, gliding and in steps. The line `original` is
SwiftF0 on the notes themselves: what the instrument gets wrong before anything is converted.
"""

import numpy as np

from train import f0_truth

from . import convert, measure

KINDS = ("held", "vibrato", "glide", "steps")
RANGES = ((80, 200), (150, 400), (300, 1000))
MODES = ("pitch shift only", "default, live", "default")
LARGEST = 12  # semitones of transposition


def phrases():
    """The fixed list: `(name, Truth)` of two seconds each."""
    rng = np.random.default_rng(80)
    return [(f"{kind}-{low}", f0_truth.sung(rng, low, high, kind)) for low, high in RANGES for kind in KINDS]


def commanded(truth, times, semitones=0):
    """F0 in Hz that is asked for at these times in seconds; 0 in silence, NaN where it is open whether there is voice."""
    frames = np.arange(len(truth.f0)) / 100
    voiced = truth.f0 > 0
    hz = np.exp2(np.interp(times, frames[voiced], np.log2(truth.f0[voiced])) + semitones / 12)
    nearest = np.clip(np.round(times * 100).astype(int), 0, len(frames) - 1)
    return np.where(truth.known[nearest], np.where(voiced[nearest], hz, 0.0), np.nan)


def error(pitch, truth, audio, semitones=0):
    """`measure.pitch_error` of a conversion of the phrase."""
    times, found = pitch.timed(audio)
    wanted = commanded(truth, times, semitones)
    known = np.isfinite(wanted)
    return measure.pitch_error(wanted[known], found[known])


def judge(coffre, out, pitch, voice, median):
    """Rows of `{"mode", "phrase", "cents", "gross", "voicing"}`, converted to one voice and towards its median."""
    rows = []
    for name, truth in phrases():
        source = out / f"sounds/note-{name}.wav"
        convert.write(source, truth.audio)
        rows.append({"mode": "original", "phrase": name} | error(pitch, truth, truth.audio))
        own = float(np.median(truth.f0[truth.f0 > 0]))
        semitones = int(np.clip(round(12 * np.log2(median / own)), -LARGEST, LARGEST))
        for mode in MODES:
            path = out / f"sounds/note-{name}.{mode.replace(' ', '-')}.wav"
            audio = convert.convert(coffre, source, path, voice, mode, semitones)
            if audio is not None:
                rows.append({"mode": mode, "phrase": name} | error(pitch, truth, audio, semitones))
    return rows


def table(rows):
    """Markdown, one line per mode."""
    lines = ["| sung notes, pitch exactly known | phrases | F0 cents | F0 gross % | voicing % |", "|---|---|---|---|---|"]
    for mode in dict.fromkeys(row["mode"] for row in rows):
        own = [row for row in rows if row["mode"] == mode]
        cents, gross, voicing = (np.nanmean([row[key] for row in own]) for key in ("cents", "gross", "voicing"))
        lines.append(f"| {mode} | {len(own)} | {cents:.1f} | {gross:.1f} | {voicing:.1f} |")
    return "\n".join(lines)
