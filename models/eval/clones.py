"""Clones from one recording of 2, 4, 8 and 16 s beside 60 s, spoken and sung. `curve.py` has the long lengths and improving.

Targets are judged speakers with enough to keep half a minute back for comparison; the recording begins where the target's
material begins, the references are its end. A recording that the program refuses is counted.
"""

import subprocess

import numpy as np

from train.data import load_rows

from . import convert, jobs, sources
from .instruments import Person, Source

TARGETS = ("ls_26", "fdm_remi", "fdm_sonia", "so_1012", "so_2430")
SECONDS = (2, 4, 8, 16, 60)
KEPT = 30  # seconds at the end of a target's material
SUNG = (8, 60)  # the lengths that sing too
WORST_OF = ("speech, 8 s", "speech, 60 s")
COLUMNS = ("refused", "norm", "moved", "x_norm", "closer", "x_closer", "wer", "per", "ovr", "clean", "cents", "gross")


def source_rows(rows):
    """Two native clips and a reader of each sex."""
    chosen = sources.chosen_rows(rows, False)
    native = [row for row in chosen if row["corpus"] == "librispeech" and row["text"]]
    readers = [row for row in chosen if row["corpus"] == "librispeech" and not row["text"]]
    return native[:2] + [row for sex in "fm" for row in [r for r in readers if r["sex"] == sex][:1]]


def found_sources(speech):
    wanted = {row["row"] for row in source_rows(load_rows(speech))}
    clips = [clip for clip in sources.sources(speech) if clip.row in wanted]
    return [Source(clip.name, clip.audio, clip.text, clip.group, clip.speaker) for clip in clips]


def material(speech, speaker):
    """Recordings, joined, and references."""
    rows = [row for row in load_rows(speech) if row["speaker"] == speaker]
    lengths = np.array([sources.length(row) for row in rows])
    first = len(rows) - int(np.searchsorted(np.cumsum(lengths[::-1]), KEPT)) - 1
    audio = list(sources.cut(speech, rows))
    return np.concatenate(audio[:first]), audio[first:]


def make(coffre, folder, speaker, recording, seconds):
    """The voice file; `None` and a word where the program refuses or there is not so much."""
    if len(recording) < seconds * sources.RATE:
        return None, None
    path = folder / "voices" / f"{speaker}.{seconds}.coffre"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        convert.write(path.with_suffix(".wav"), recording[: seconds * sources.RATE])
        command = [coffre, "clone", path.with_suffix(".wav"), "--name", speaker, "-o", path, "--quiet"]
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if result.returncode or not path.exists():
            return None, (result.stderr.strip().splitlines() or ["no voice"])[-1]
    return path, None


def plan(coffre, folder, results, judge, speech, kept, spoken, sung, profiles):
    """The jobs; refused recordings become rows at once."""
    made = []
    for speaker in TARGETS:
        recording, references = material(speech, speaker)
        person = Person(judge, references, kept / f"{speaker}.json")
        for seconds in SECONDS:
            path, why = make(coffre, folder, speaker, recording, seconds)
            wanted = [(f"speech, {seconds} s", source) for source in spoken if source.speaker != speaker]
            if seconds in SUNG:
                wanted += [(f"song, {seconds} s", source) for source in sung if source.speaker != speaker]
            for mode, source in wanted:
                if path:
                    is_sung = mode.startswith("song")
                    hz = source.heard(judge)["median"], person.median
                    semitones = (jobs.in_key if is_sung else jobs.out_of_key)(*hz)
                    profile = None if is_sung else profiles[source.speaker]
                    made.append(jobs.Job(mode, source, speaker, person, semitones, [], is_sung, path, profile))
                elif why and not results.has(mode, source.name, speaker):
                    results.add(mode, source.name, speaker, group=source.group, refused=1.0, why=why)
    return made


def label(row):
    return row["mode"]
