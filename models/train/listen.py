"""Stage 2: what a recogniser makes of the speech set: features of every recording, and the English text where none is given.

The recogniser is Moonshine tiny (Jeffries et al. 2024, "Moonshine: Speech Recognition for Live Transcription and Voice
Commands"; MIT), as the package `moonshine-voice` carries it. It is a training aid: the guide (`guide.py`) hears through its
encoder, and nothing of it is shipped. Of what is reported it touches two things: the alignments of the readers without text,
against which accuracies are given, and the first version of the judge's texts of readers, which were put right afterwards.
"""

import json
import re
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from .data import AudioStore, load_rows

WIDTH = 288
FIRST, STEP = 447, 384  # centre of the encoder's first frame and distance of its frames, in samples
FILLERS = re.compile(r"^\s*(?:(?:You|Mm|I|Okay|Yeah|It|It is|The first|Be|\d+|\?)[,.]?\s+)(?=[A-Z])")


def model_folder():
    """Folder of the package's model."""
    return Path(find_spec("moonshine_voice").origin).parent / "assets" / "tiny-en"


def features(speech, work):
    """Write the encoder's frames of every recording to `heard.f16` and where they lie to `heard.json`."""
    import onnxruntime

    if (work / "heard.json").exists():
        return
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model_folder() / "encoder_model.ort"), options)
    store, spans, position = AudioStore(work), {}, 0
    with open(work / "heard.f16", "wb") as out:
        for row in load_rows(speech):
            if row["row"] not in store or len(store.pcm(row["row"])) < 3200:
                continue
            audio = np.concatenate([store.audio(row["row"]), np.zeros(1600, np.float32)])[None]
            found = session.run(None, {"input_values": audio, "attention_mask": np.ones_like(audio, np.int64)})[0][0]
            out.write(found.astype(np.float16).tobytes())
            spans[row["row"]] = (position, len(found))
            position += len(found)
    (work / "heard.json").write_text(json.dumps(spans))
    print(f"listen: {len(spans)} recordings, {position} frames")


def texts(speech, work):
    """Append one JSON line per English recording without text to `texts.jsonl`; what is there already is skipped."""
    from moonshine_voice import ModelArch
    from moonshine_voice.transcriber import Transcriber

    path, store, started = work / "texts.jsonl", AudioStore(work), time.time()
    done = {json.loads(line)["row"] for line in open(path)} if path.exists() else set()
    recogniser = Transcriber(model_path=str(model_folder()), model_arch=ModelArch.TINY)
    with open(path, "a", encoding="utf-8") as out:
        for row in load_rows(speech):
            if row["row"] in store and row["lang"].startswith("en") and not row["text"] and row["row"] not in done:
                lines = recogniser.transcribe_without_streaming(store.audio(row["row"]).tolist(), 16000).lines
                text = " ".join(line.text for line in lines)
                out.write(json.dumps({"row": row["row"], "text": text}) + "\n")
                out.flush()
    print(f"listen: texts in {time.time() - started:.0f} s")


def plain(text):
    """A recognised text without the word that the recogniser likes to put before the first; `None` with figures in it."""
    text = FILLERS.sub("", text)
    return None if re.search(r"\d", text) or not text.strip() else text


def load_texts(work):
    """Row number to recognised text."""
    path = work / "texts.jsonl"
    entries = [json.loads(line) for line in open(path, encoding="utf-8")] if path.exists() else []
    return {entry["row"]: text for entry in entries if (text := plain(entry["text"]))}


class Heard:
    """Read access to `heard.f16`."""

    def __init__(self, work):
        spans = json.loads((work / "heard.json").read_text())
        self.spans = {int(row): tuple(span) for row, span in spans.items()}
        self.values = np.memmap(work / "heard.f16", dtype=np.float16, mode="r").reshape(-1, WIDTH)

    def __contains__(self, row):
        return row in self.spans

    def frames(self, row, count):
        """Features of the first `count` mel frames (10 ms, centred at sample 160 k + 160), `[count, 288]`."""
        start, length = self.spans[row]
        values = self.values[start : start + length].astype(np.float32)
        place = np.clip((160 * np.arange(count) + 160 - FIRST) / STEP, 0, length - 1)
        low = np.minimum(place.astype(int), length - 2) if length > 1 else np.zeros(count, int)
        share = (place - low)[:, None].astype(np.float32)
        return values[low] * (1 - share) + values[np.minimum(low + 1, length - 1)] * share
