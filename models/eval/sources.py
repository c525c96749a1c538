"""What is converted and what it is compared with: unseen speakers' clips and the target voices' kept-back clips."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from train.data import load_rows, load_split, reference_rows
from train.prepare import decode, level

RATE = 16000
REFERENCES = 8


@dataclass
class Clip:
    """One utterance at 16 kHz. `text` is set where words can be counted; `group` says whose they are: of the "native"
    speaker with transcripts, of other native "readers", or "accented"; `None` without text."""

    name: str
    speaker: str
    sex: str | None
    text: str | None
    group: str | None
    audio: np.ndarray
    row: int


def cut(speech, rows, cache={}):
    """Decoded audio of manifest rows, at rms 0.06."""
    for row in rows:
        if row["file"] not in cache:
            cache.clear()  # rows of one file come together
            cache[row["file"]] = decode(speech / row["file"])
        yield level(cache[row["file"]][round(row["start_s"] * RATE) : round(row["end_s"] * RATE)])


def length(row):
    return row["end_s"] - row["start_s"]


def chosen_rows(rows, quick):
    """The fixed list. Native: 8 clips of 4-12 s of the LibriSpeech speaker with text, from the 31st on (the first ones
    serve the encoder's validation). Then 8 other LibriSpeech speakers, 6 accented ones with text, and two clips
    of each French reader. `quick` keeps 3, 1, 1 and 1."""
    judge = set(load_split()["judge"])
    of = lambda corpus: [r for r in rows if r["speaker"] in judge and r["corpus"] == corpus]  # noqa: E731
    native = [r for r in of("librispeech") if r["text"]][30:]
    native = [r for r in native if 4 <= length(r) <= 12][:8]
    single = [r for r in of("librispeech") if not r["text"]]
    by_sex = [[r for r in single if r["sex"] == sex][:4] for sex in "fm"]
    accented, readers = {}, {}
    for row in of("speechocean762"):
        best = accented.get(row["speaker"])
        if length(row) <= 9 and (best is None or length(row) > length(best)):
            accented[row["speaker"]] = row
    for row in of("fleursdumal"):
        if 5 <= length(row) <= 12:
            readers.setdefault(row["speaker"], []).append(row)
    french = [row for found in readers.values() for row in found[10:12]]
    groups = [native, by_sex[0] + by_sex[1], list(accented.values()), french]
    if quick:
        groups = [group[:count] for group, count in zip(groups, (3, 1, 1, 1))]
    return [row for group in groups for row in group]


def sources(speech, quick=False):
    """The clips to convert, in a fixed order."""
    rows = sorted(chosen_rows(load_rows(speech), quick), key=lambda row: row["row"])
    texts = json.loads(Path(__file__).with_name("texts.json").read_text())  # of the readers, as they were heard and proofread
    clips = []
    for row, audio in zip(rows, cut(speech, rows)):
        text = row["text"] or texts.get(str(row["row"]))
        group = ("native" if row["text"] else "readers") if row["corpus"] == "librispeech" else "accented"
        name = f"{row['speaker']}-{row['row']}"
        clips.append(Clip(name, row["speaker"], row["sex"], text, group if text else None, audio, row["row"]))
    return clips


def enrolment(speech, speaker, judged):
    """About a minute of the speaker's other utterances, or `None` where there are none: what Coffre has heard of a
    singer by the time a track plays. Without it the clip itself is learned from."""
    rows = [row for row in load_rows(speech) if row["speaker"] == speaker and row["row"] not in judged]
    rows = sorted(rows, key=lambda row: row["row"])
    lengths = np.cumsum([length(row) for row in rows])
    rows = rows[: int(np.searchsorted(lengths, 60)) + 1]
    return np.concatenate(list(cut(speech, rows))) if len(rows) > 1 else None


def references(speech, speaker):
    """The longest kept-back utterances of a target voice."""
    rows = load_rows(speech)
    kept = reference_rows(rows)
    rows = [r for r in rows if r["speaker"] == speaker and r["row"] in kept]
    rows = sorted(sorted(rows, key=length)[-REFERENCES:], key=lambda row: row["row"])
    return list(cut(speech, rows))


def voices(folder):
    """Voice name to target speaker, for every voice file in `folder` that is of a speaker of the speech set."""
    table = json.loads(Path(__file__).with_name("voices.json").read_text())
    names = sorted(path.stem for path in folder.glob("*.coffre"))
    return {name: table[name] for name in names if name in table}


def resample(audio, rate):
    """Any rate to 16 kHz, first channel."""
    audio = np.asarray(audio, np.float32)
    audio = audio[:, 0] if audio.ndim > 1 else audio
    return audio if rate == RATE else soxr.resample(audio, rate, RATE)
