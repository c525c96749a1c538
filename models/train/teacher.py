"""The encoder that ships as a teacher of its successor: what it says of every training recording, undisguised.

It stands for the guide where there is no time for one, and keeps the space of keys: the directions are its keys, so what
learns them, however the recording is disguised or sung, finds its neighbours in the banks that there are.
"""

import json

import numpy as np
import torch

from . import frozen, keys, labels, net
from .data import REPO, AudioStore, load_rows, training_rows
from .mel import frames_in


def run(speech, work, share):
    """Write `teacher.f16` and `teacher.json`, laid out as the guide's, of every `share`-th training recording."""
    torch.set_num_threads(1)
    path = REPO / "models" / "content_mix.onnx"
    network, projection, store = frozen.content(path), frozen.projection(path), AudioStore(work)
    sums, spans, position = {}, {}, 0
    with open(work / "teacher.f16", "wb") as out:
        for row in training_rows(load_rows(speech))[::share]:
            if row["row"] not in store or frames_in(len(store.pcm(row["row"]))) < 30:
                continue
            logp, h = labels.run_net(network, store.audio(row["row"]))
            soft = torch.log_softmax(logp / net.TEMPERATURE, 1).clamp(min=keys.LOGP_FLOOR)
            key = torch.cat([h, soft], 1).numpy() @ projection.T
            out.write(np.concatenate([logp.exp().numpy(), key], 1).astype(np.float16).tobytes())
            spans[row["row"]] = (position, len(key))
            position += len(key)
            said = logp[:, 0].numpy() < np.log(0.5)
            total, count = sums.get(row["speaker"], (0, 0))
            sums[row["speaker"]] = total + key[said].sum(0), count + said.sum()
    values = np.memmap(work / "teacher.f16", dtype=np.float16, mode="r+").reshape(position, -1)
    speakers = {row["row"]: row["speaker"] for row in load_rows(speech)}
    for row, (start, length) in spans.items():
        total, count = sums[speakers[row]]
        values[start : start + length, net.CLASSES :] -= (total / max(count, 1)).astype(np.float16)
    values.flush()
    (work / "teacher.json").write_text(json.dumps(spans))
    print(f"teach: {len(spans)} recordings, {position / 360000:.2f} h")
