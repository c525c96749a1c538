"""Notes made of hiss: frames that Coffre calls voiced, above 2.2 times the speaker's median, and an independent tracker
(SwiftF0) calls unvoiced, by 100 frames that Coffre calls voiced. Over the whole speech set, every so many recordings.

What Coffre calls voiced is the engine's own answer, through the example `f0-frames` (`tools/f0.rs`), for the command prints
no F0. Speakers that the pitch judge was trained on are among them: this is a fault to be counted, not a test of learning.
"""

import subprocess

import numpy as np

from train.data import is_adult, load_rows

from . import sources

ABOVE = 2.2
COLUMNS = ("false",)
MODES = {"live": 0, "mix": 2}  # columns of a track
WORST = 5
ENOUGH = 50  # voiced frames, for a clip to be named


def rows_of(speech, step):
    """Every so many adult recordings, of each corpus."""
    return [row for row in load_rows(speech) if is_adult(row) and sources.length(row) >= 1][::step]


def false_frames(coffre, times, other, median):
    """`(false, voiced)` frames of a track of 10 ms frames against another tracker's F0 at `times` in seconds."""
    middles = (times[1:] + times[:-1]) / 2
    heard = other[np.searchsorted(middles, np.arange(len(coffre)) / 100)] > 0
    voiced = coffre > 0
    return int((voiced & (coffre > ABOVE * median) & ~heard).sum()), int(voiced.sum())


def judge(frames, folder, instruments, speech, results, step):
    """Fill the results. `frames` is the program."""
    rows, heard, medians = rows_of(speech, step), {}, {}
    left = [row for row in rows if not all(results.has(mode, str(row["row"]), row["speaker"]) for mode in MODES)]
    if not left:
        return
    for row, audio in zip(rows, sources.cut(speech, rows)):
        heard[row["row"]] = instruments.pitch.timed(audio)
        medians.setdefault(row["speaker"], []).append(heard[row["row"]][1])
    for speaker, tracks in medians.items():
        joined = np.concatenate(tracks)
        medians[speaker] = float(np.median(joined[joined > 0])) if (joined > 0).any() else None
    path = folder / "clip.f32"
    for row, audio in zip(left, sources.cut(speech, left)):
        if medians[row["speaker"]] is None:
            continue
        audio.astype("<f4").tofile(path)
        subprocess.run([str(frames), str(path)], check=True)
        track = np.fromfile(f"{path}.track", "<f4").reshape(-1, 4)
        # The corpus without speaker labels: each recording has a median of its own.
        own = heard[row["row"]][1] if row["speaker"] == "s2i_unknown" else None
        median = float(np.median(own[own > 0])) if own is not None and (own > 0).any() else medians[row["speaker"]]
        for mode, column in MODES.items():
            false, voiced = false_frames(track[:, column], *heard[row["row"]], median)
            about = {"group": row["corpus"], "false": false, "voiced": voiced, "file": row["file"], "at": row["start_s"]}
            results.add(mode, str(row["row"]), row["speaker"], **about)


def label(row):
    return f"{row['mode']}, {row['group']}"


def worst(rows):
    """The clips with the greatest share, as lines of text."""
    found = sorted((row for row in rows if row["voiced"] >= ENOUGH), key=lambda row: -row["false"] / row["voiced"])
    say = "- {voice}, {file} at {at:.1f} s, {mode}: {false} of {voiced} voiced frames ({share:.0f} %) are notes of hiss"
    return [say.format(share=100 * row["false"] / row["voiced"], **row) for row in found[:WORST] if row["false"]]
