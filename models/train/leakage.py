"""Linear probes: how much the keys reveal about the speaker and the pitch, which they should not.

Validation speakers; a probe learns from the first half of what each says and is asked about the second. As in the engine
the speaker's mean key, of the first half, is taken off.
"""

import numpy as np
import torch

from . import keys, net
from .data import AudioStore, load_rows, load_split

UTTERANCES = 6


def pitch_at(tracker, audio, frames):
    """F0 in Hz per mel frame, 0 where there is none."""
    track = np.asarray(tracker.track(audio))
    place = (np.arange(frames) * 160 + 160) / (len(audio) / len(track))
    return track[np.clip(np.round(place).astype(int), 0, len(track) - 1)]


def halves(network, projection, rows, store, tracker):
    """Keys and F0 of one speaker's speech, first and second half, the first half's mean key taken off."""
    found = []
    for row in rows[:UTTERANCES]:
        audio = store.audio(row["row"])
        u = keys.features(network, audio)
        said = u[:, -net.CLASSES :].argmax(1) > 0
        found.append(((u @ projection.T)[said], pitch_at(tracker, audio, len(u))[said]))
    key, f0 = (np.concatenate(part) for part in zip(*found))
    half = len(key) // 2
    key = key - key[:half].mean(0)
    return (key[:half], f0[:half]), (key[half:], f0[half:])


def speaker_share(learned, asked):
    """Share of frames whose speaker a multinomial logistic regression names, mean over the speakers."""
    count = len(learned)
    x = torch.tensor(np.concatenate([key for key, _ in learned]), dtype=torch.float32)
    y = torch.tensor(np.repeat(np.arange(count), [len(key) for key, _ in learned]))
    weight = 1 / torch.bincount(y).float()
    layer = torch.nn.Linear(x.shape[1], count)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=100)

    def closure():
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(layer(x), y, weight=weight / weight.mean())
        loss = loss + 1e-3 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        named = [layer(torch.tensor(key, dtype=torch.float32)).argmax(1).numpy() for key, _ in asked]
    return float(np.mean([(name == number).mean() for number, name in enumerate(named)]))


def pitch_share(learned, asked):
    """Share of the variance of log F0 around the speakers' medians that least squares explain."""
    middles = [np.median(np.log(f0[f0 > 0])) for _, f0 in learned]

    def voiced(parts):
        x = np.concatenate([np.c_[key, np.ones(len(key))][f0 > 0] for key, f0 in parts])
        return x, np.concatenate([np.log(f0[f0 > 0]) - middle for (_, f0), middle in zip(parts, middles)])

    (x, y), (asked_x, asked_y) = voiced(learned), voiced(asked)
    weights = np.linalg.solve(x.T @ x + 1e-2 * len(x) * np.eye(x.shape[1]), x.T @ y)
    return float(1 - (asked_y - asked_x @ weights).var() / asked_y.var())


def run(speech, work, network, projection):
    """Print both."""
    from eval import measure

    rows, store, tracker = load_rows(speech), AudioStore(work), measure.Pitch()
    speakers = load_split()["validation"]
    of = lambda speaker: [row for row in rows if row["speaker"] == speaker and row["row"] in store]  # noqa: E731
    learned, asked = zip(*(halves(network, projection, of(speaker), store, tracker) for speaker in speakers))
    named, chance = speaker_share(learned, asked), 1 / len(speakers)
    print(f"speaker named from a key: {named:.1%}, {named / chance:.1f} times chance; log F0 explained: {pitch_share(learned, asked):.1%}")
