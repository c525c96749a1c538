"""What is sung: real singing that nothing trained on, and speech of judged speakers said again on melodies in three registers.

In key (moved by octaves or not at all) and out of key (by semitones to the target's median). Similarity is to the target's
own speech on a melody at the pitch of the output, see instruments.py; "above a mere move" counts from the source moved to that
pitch by a vocoder. The singer is learned from the clip itself. The real singers sing syllables, so only the melodies have words.
"""

from pathlib import Path

import numpy as np

from train.data import load_rows, load_split

from . import jobs, melody, sources
from .instruments import STRETCH, Source

SINGERS = {"sing_dorodoro": (4, 1), "sing_kawaiineko": (2, 10), "sing_yuki": (4, 1)}  # clips, and takes joined in each
REGISTERS = {"low": 1.0, "middle": 1.4, "high": 1.8}  # of the speaker's own median
LONGEST = {"native": 9, "readers": 13}  # seconds, so that what is sung is not endless
LEFT_OUT = {"ls_1455"}  # creaks at 78 Hz, which the vocoder does not follow (OVRL 1.2)
MODES = {
    "in key, likeness 60": [],
    "in key, likeness 100": ["--likeness", "100"],
    "out of key, likeness 60": [],
    "in key, live": ["--mode", "live"],
    "in key, likeness 0": ["--likeness", "0"],
    "in key, likeness 30": ["--likeness", "30"],
    "in key, likeness 80": ["--likeness", "80"],
}
BOTH = list(MODES)[:3]  # see `plan`
WORST_OF = ("in key, likeness 60",)
COLUMNS = ("norm", "moved", "plain", "x_norm", "closer", "x_closer", "wer", "more", "per", "ovr", "clean", "cents", "gross", "loudness")


def singing_rows(rows):
    """The takes of the judge's singers, spread over what there is of each."""
    judge, chosen = set(load_split()["judge"]), []
    for singer, (count, joined) in SINGERS.items():
        own = [row for row in rows if row["speaker"] == singer and singer in judge]
        starts = [(2 * n + 1) * (len(own) - joined) // (2 * count) for n in range(count)]
        chosen += [row for start in starts for row in own[start : start + joined]]
    return chosen


def spoken_rows(rows):
    """Clips of the main table whose words are known."""
    chosen = [row for row in sources.chosen_rows(rows, False) if row["corpus"] == "librispeech"]
    limit = lambda row: LONGEST["native" if row["text"] else "readers"]  # noqa: E731
    return [row for row in chosen if row["speaker"] not in LEFT_OUT and sources.length(row) <= limit(row)]


def real(singing):
    rows, found = singing_rows(load_rows(singing)), []
    for singer, (count, joined) in SINGERS.items():
        own = [row for row in rows if row["speaker"] == singer]
        for first in range(0, count * joined, joined):
            takes = own[first : first + joined]
            audio = np.concatenate(list(sources.cut(singing, takes)))
            found.append(Source(f"{singer}-{takes[0]['row']}", audio, None, "real singing", singer))
    return found


def melodies(speech, kept):
    """Every spoken clip in three registers; made once, as WAV in the folder `kept`."""
    wanted = {row["row"] for row in spoken_rows(load_rows(speech))}
    clips, found = [clip for clip in sources.sources(speech) if clip.row in wanted], []
    for number, clip in enumerate(clips):
        said = None
        for step, (register, ratio) in enumerate(REGISTERS.items()):
            path = kept / f"{clip.name}-{register}.npy"
            if not path.exists():
                said = said or melody.Said(clip.audio)
                own = float(np.median(said.f0[said.f0 > 0]))
                kept.mkdir(parents=True, exist_ok=True)
                np.save(path, said.sung(100 * number + step, own * ratio, STRETCH))
            found.append(Source(path.stem, np.load(path), clip.text, "words on a melody", clip.speaker))
    return found


def plan(found, people, judge, is_own_register=False):
    """The jobs, the more important first: the modes of `BOTH` for a voice each, the other modes for every other source and that
    voice, the modes of `BOTH` for a second voice. Voices come in turn."""
    names, made = list(people), []
    others = [mode for mode in MODES if mode not in BOTH]
    for step, modes, chosen in ((0, BOTH, found), (0, others, found[::2]), (2, BOTH, found)):
        for mode in modes:
            for source in chosen:
                voice = names[(found.index(source) // 2 + step) % len(names)]
                hz = source.heard(judge)["median"], people[voice].median
                octaves = None if is_own_register else jobs.in_key(*hz)
                semitones = octaves if mode.startswith("in key") else jobs.out_of_key(*hz)
                made.append(jobs.Job(mode, source, voice, people[voice], semitones, MODES[mode], is_sung=True))
    return made


def label(row):
    return f"{row['group']}, {row['mode']}"
