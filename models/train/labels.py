"""Frame targets: phone numbers from the alignment, and a teacher network's phone probabilities for any speech."""

import json

import numpy as np
import torch

from . import align, net
from .data import PHONE_ID, AudioStore, load_rows, training_rows
from .mel import frames_in, mel


def frame_phones(segments, frames):
    """Phone number per frame of one aligned utterance."""
    phones = np.zeros(frames, np.int64)
    for phone, first, last in segments:
        phones[first : min(last + 1, frames)] = PHONE_ID[phone]
    return phones


def aligned(work, store):
    """Row number to phone number per frame, for all aligned utterances."""
    segments = align.load(work)
    return {row: frame_phones(found, frames_in(len(store.pcm(row)))) for row, found in segments.items()}


def run_net(network, audio):
    """Phone log-probabilities and `h` of one clip, `[frames, ...]`, with the look-ahead taken off."""
    with torch.no_grad():
        frames = mel(torch.from_numpy(audio)[None])
        padded = torch.nn.functional.pad(frames, (0, 0, 0, network.look_ahead))
        logits, h = network(padded)
    late = network.look_ahead
    return torch.log_softmax(logits[0, late:].float(), 1), h[0, late:]


def soft(speech, work, name):
    """Row number to `[frames, 40]` probabilities by checkpoint `name`; computed once and kept in the work folder."""
    index_path, data_path = work / f"soft.{name}.json", work / f"soft.{name}.f16"
    if not index_path.exists():
        network, store = net.load(work / f"{name}.pt")[0], AudioStore(work)
        spans, position = {}, 0
        with open(data_path, "wb") as out:
            for row in training_rows(load_rows(speech)):
                if frames_in(len(store.pcm(row["row"]))) < 30:
                    continue
                logp, _ = run_net(network, store.audio(row["row"]))
                out.write(logp.exp().numpy().astype(np.float16).tobytes())
                spans[row["row"]] = (position, len(logp))
                position += len(logp)
        index_path.write_text(json.dumps(spans))
    spans = json.loads(index_path.read_text())
    values = np.memmap(data_path, dtype=np.float16, mode="r").reshape(-1, net.CLASSES)
    return {int(row): values[start : start + length] for row, (start, length) in spans.items()}
