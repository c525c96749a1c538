"""Stage 1: decode the speech set once into the 16 kHz store of `data.AudioStore`."""

import json
import subprocess
from itertools import groupby

import numpy as np

from .data import RATE, is_adult, load_rows

RMS = 0.06


def decode(path, rate=RATE):
    """Whole file as float mono at `rate` Hz, through the `ffmpeg` command (drops the Opus pre-skip)."""
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-ac", "1", "-ar", str(rate), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, dtype="<f4")


def level(audio):
    """Mean removed, rms brought to 0.06, clipped below full scale."""
    audio = audio - audio.mean()
    audio = audio * (RMS / max(float(np.sqrt(np.mean(audio**2))), 1e-4))
    return np.clip(audio, -0.99, 0.99)


def run(speech, work):
    """Write `audio.i16` and `audio.json`; does nothing when they exist."""
    if (work / "audio.json").exists():
        print("prepare: already done")
        return
    rows = [row for row in load_rows(speech) if is_adult(row)]
    index, position = {}, 0
    with open(work / "audio.i16", "wb") as store:
        for file, group in groupby(rows, key=lambda row: row["file"]):
            audio = decode(speech / file)
            for row in group:
                piece = audio[round(row["start_s"] * RATE) : round(row["end_s"] * RATE)]
                pcm = (level(piece) * 32767).astype("<i2")
                store.write(pcm.tobytes())
                index[row["row"]] = (position, len(pcm))
                position += len(pcm)
    (work / "audio.json").write_text(json.dumps(index))
    print(f"prepare: {len(index)} utterances, {position / RATE / 3600:.2f} h")
