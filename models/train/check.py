"""Stage 8: judge the exported file itself: accuracy, streaming against whole file, cost of a call."""

import time

import numpy as np
import torch

from . import encoder, keys, labels, leakage, net
from .data import AudioStore, load_rows
from .export import STEMS, stream, test_signal
from .mel import HOP, WINDOW, mel


def streaming_difference(network, projection, path, frames):
    """Largest differences of `logp` and `key` between the file run frame by frame and torch over the whole input."""
    with torch.no_grad():
        logits, h = network(frames[None])
    logp = torch.log_softmax(logits[0] / net.TEMPERATURE, 1)
    key = torch.cat([h[0], logp.clamp(min=keys.LOGP_FLOOR)], 1).numpy() @ projection.T
    streamed_logp, streamed_key = stream(path, frames)
    return float(np.abs(streamed_logp - logp.numpy()).max()), float(np.abs(streamed_key - key).max())


def run(speech, work, name, repo):
    """Print the figures of the model card."""
    torch.set_num_threads(1)
    network, saved = net.load(work / f"{name}.pt")
    path, projection = repo / "models" / f"{STEMS[network.look_ahead]}.onnx", np.load(work / f"{name}.key.npy")
    frames = mel(torch.from_numpy(test_signal(299 * HOP + WINDOW))[None])[0]
    differences = streaming_difference(network, projection, path, frames)
    print(f"streaming against whole file over {len(frames)} frames: logp {differences[0]:.1e}, key {differences[1]:.1e}")
    assert max(differences) < 1e-4, "the exported graph differs from the network"
    many = frames.repeat(7, 1)
    started = time.perf_counter()
    stream(path, many)
    print(f"one call, one thread: {(time.perf_counter() - started) / len(many) * 1e3:.2f} ms (mean, wall clock)")
    print(f"parameters {sum(p.numel() for p in network.parameters())}, {saved['step']} steps in {saved['spent']:.0f} s")
    print("frame accuracy (all, speech):", encoder.accuracy(network, encoder.validation(speech, work, AudioStore(work))))
    queries, banks = keys.sets(work, network, load_rows(speech))
    print("neighbours of the same phone, and of the same third:", keys.compare(projection, queries, banks))
    rows = [r for r in load_rows(speech) if r["speaker"] == "ls_26"][:10]
    store = AudioStore(work)
    spread = np.concatenate([keys.features(network, store.audio(r["row"])) @ projection.T for r in rows]).std(0)
    print(f"key deviation per dimension: {spread.min():.2f} to {spread.max():.2f}")
    silence = labels.run_net(network, np.zeros(16000, np.float32))[0].argmax(1)
    leakage.run(speech, work, network, projection)
    print(f"digital silence called SIL: {float((silence == 0).float().mean()):.0%}")
