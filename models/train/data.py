"""What the recipe trains on: manifest rows, the speaker split and the decoded audio store.

The store is one flat file of 16-bit samples (16 kHz, mono, mean removed, rms 0.06) plus an index, so that every
later stage maps it instead of decoding again. Row numbers are positions in `manifest.jsonl`.
"""

import json
import os
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[2]
SPLIT = Path(__file__).with_name("split.json")
RATE = 16000
TARGETS = ("kathleen", "nathalie", "flemishguy", "kerstin")

PHONES = (
    "SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY "
    "P R S SH T TH UH UW V W Y Z ZH"
).split()
PHONE_ID = {phone: index for index, phone in enumerate(PHONES)}


def speech_dir(argument=None):
    """Folder of the speech set: the argument, else `COFFRE_SPEECH`, else `../shared/speech` beside the repository."""
    return Path(argument or os.environ.get("COFFRE_SPEECH") or REPO.parent / "shared" / "speech")


def singing_dir(argument=None):
    """Folder of the singing set: the argument, else `COFFRE_SINGING`, else `singing` beside the speech set.
    Its manifest is read with `load_rows` and its training part is `training_rows`, as with speech."""
    return Path(argument or os.environ.get("COFFRE_SINGING") or speech_dir().parent / "singing")


def work_dir(argument=None):
    """Folder for everything the stages produce except the exported model: the argument, else `target/train`."""
    folder = Path(argument or os.environ.get("COFFRE_WORK") or REPO / "target" / "train")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_rows(speech):
    """All manifest rows in order, each with its number as `row`."""
    with open(speech / "manifest.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for number, row in enumerate(rows):
        row["row"] = number
    return rows


def is_adult(row):
    """False for the speakers of speechocean762 below 18; nothing here uses them."""
    return row["corpus"] != "speechocean762" or (row["age"] or 0) >= 18


def load_split():
    """`{"validation": [...], "judge": [...]}`: speakers and singers nothing may train on."""
    return json.loads(SPLIT.read_text())


def reference_rows(rows):
    """Row numbers of the last tenth of each target voice: similarity references, kept out of training and banks."""
    kept = set()
    for target in TARGETS:
        numbers = [row["row"] for row in rows if row["speaker"] == target]
        kept.update(numbers[len(numbers) - len(numbers) // 10 :])
    return kept


def training_rows(rows):
    """Rows that training may see: adults, neither held-out speakers nor reference utterances."""
    split = load_split()
    held = set(split["validation"]) | set(split["judge"])
    references = reference_rows(rows)
    return [r for r in rows if is_adult(r) and r["speaker"] not in held and r["row"] not in references]


class AudioStore:
    """Read access to the store written by `prepare`."""

    def __init__(self, work):
        index = json.loads((work / "audio.json").read_text())
        self.spans = {int(row): tuple(span) for row, span in index.items()}
        self.samples = np.memmap(work / "audio.i16", dtype="<i2", mode="r")

    def __contains__(self, row):
        return row in self.spans

    def pcm(self, row):
        """16-bit samples of one row."""
        start, length = self.spans[row]
        return self.samples[start : start + length]

    def audio(self, row):
        """Samples of one row as float in -1..1."""
        return self.pcm(row).astype(np.float32) / 32768
