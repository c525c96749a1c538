"""Notes and speech whose pitch is exactly known: what comes out of a conversion against what was asked for.

Both are synthetic (`train/f0_truth.py`): notes from 80 to 1000 Hz, held, with vibrato, gliding and in steps; and judged
recordings said again with a contour of our own. The lines `original` are the instruments on the sounds themselves: what
they get wrong before anything is converted.
"""

from dataclasses import dataclass

import numpy as np

from train import f0_truth

from . import convert, fine, measure

KINDS = ("held", "vibrato", "glide", "steps")
RANGES = ((80, 200), (150, 400), (300, 1000))
MODES = ("pitch shift only", "default, live", "default")
LARGEST = 12  # semitones of transposition
COLUMNS = {"cents": "F0 cents", "fine": "F0 cents, refined", "gross": "F0 gross %", "voicing": "voicing %"}


@dataclass
class Phrase:
    """A sound of a kind, "sung" or "spoken", and its truth."""

    name: str
    kind: str
    truth: f0_truth.Truth


def sung():
    """The fixed list of notes, two seconds each."""
    rng = np.random.default_rng(80)
    wanted = [(f"{kind}-{low}", low, high, kind) for low, high in RANGES for kind in KINDS]
    return [Phrase(name, "sung", f0_truth.sung(rng, low, high, kind)) for name, low, high, kind in wanted]


def spoken(clips):
    """Every clip of `sources` said again that has enough voice."""
    rng = np.random.default_rng(81)
    again = [(clip.name, f0_truth.said_again(rng, clip.audio)) for clip in clips]
    return [Phrase(f"said-{name}", "spoken", truth) for name, truth in again if truth is not None]


def commanded(truth, times, semitones=0):
    """F0 in Hz that is asked for at these times in seconds; 0 in silence, NaN where it is open whether there is voice."""
    frames = np.arange(len(truth.f0)) / 100
    voiced = truth.f0 > 0
    hz = np.exp2(np.interp(times, frames[voiced], np.log2(truth.f0[voiced])) + semitones / 12)
    nearest = np.clip(np.round(times * 100).astype(int), 0, len(frames) - 1)
    return np.where(truth.known[nearest], np.where(voiced[nearest], hz, 0.0), np.nan)


def error(pitch, truth, audio, semitones=0):
    """`measure.pitch_error` of a conversion of the phrase, and `fine`: the median cents off by the finer instrument."""
    times, found = pitch.timed(audio)
    wanted = commanded(truth, times, semitones)
    known = np.isfinite(wanted)
    finer = measure.pitch_error(wanted[known], fine.refined(audio, times, found)[known])
    return measure.pitch_error(wanted[known], found[known]) | {"fine": finer["cents"]}


def judge(coffre, out, pitch, phrases, voice, median):
    """Rows of `{"mode", "phrase", "kind"}` and what `error` measures, converted to one voice and towards its median."""
    rows = []
    for phrase in phrases:
        source, truth = out / f"sounds/note-{phrase.name}.wav", phrase.truth
        convert.write(source, truth.audio)
        about = {"phrase": phrase.name, "kind": phrase.kind}
        rows.append({"mode": "original"} | about | error(pitch, truth, truth.audio))
        own = float(np.median(truth.f0[truth.f0 > 0]))
        semitones = int(np.clip(round(12 * np.log2(median / own)), -LARGEST, LARGEST))
        for mode in MODES:
            path = out / f"sounds/note-{phrase.name}.{mode.replace(' ', '-')}.wav"
            audio = convert.convert(coffre, source, path, voice, mode, semitones)
            if audio is not None:
                rows.append({"mode": mode} | about | error(pitch, truth, audio, semitones))
    return rows


def table(rows):
    """Markdown, one line per kind and mode."""
    lines = [f"| pitch exactly known | phrases | {' | '.join(COLUMNS.values())} |", "|" + "---|" * (len(COLUMNS) + 2)]
    for kind, mode in dict.fromkeys((row["kind"], row["mode"]) for row in rows):
        own = [row for row in rows if (row["kind"], row["mode"]) == (kind, mode)]
        cells = [f"{np.nanmean([row[key] for row in own]):.1f}" for key in COLUMNS]
        lines.append(f"| {kind}, {mode} | {len(own)} | {' | '.join(cells)} |")
    return "\n".join(lines)
