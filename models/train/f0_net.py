"""The judge of pitch candidates (`src/engine/f0/judge.rs`): its inputs, its training and how its weights are written.

One network says how likely it is that none of a frame's candidates is right, the other, by a softmax, which of them is if
one is: a voice that repeats well is never given up because nothing like it was among the sounds. About a thousand weights.
"""

import numpy as np
import torch

CANDIDATES, CLUES, AHEAD = 8, 11, 3
BLOCK = 4 + CANDIDATES * (1 + CLUES)
SCORE_INPUTS, NONE_INPUTS = CLUES + 3, 9
LEVEL_DB = 20.0
NEAR_CENTS, NEAR_CREAK_CENTS = 80, 120  # a candidate so near the truth is right

HEAD = """//! Weights of the judge. Written by `python -m train f0` in `models/` (`models/train/f0.py`): do not edit.
//!
//! Learned from {hours:.1f} h of sounds whose F0 is exactly known: notes of 80 to 1550 Hz and creaky ones down to 42 Hz,
//! and training recordings said again with a contour of our own; clean, in noise, in rooms, with the bleed of a backing
//! track, creaky.

use super::{{Layer, NONE_INPUTS, SCORE_INPUTS}};
"""


def inputs(blocks, ahead):
    """Of blocks of `f0-frames` `[..., BLOCK]` that lie `ahead` `[...]` frames ahead: what is told of each candidate `[...,
    CANDIDATES, SCORE_INPUTS]`, of the frame `[..., NONE_INPUTS]`, F0 `[..., CANDIDATES]` and which there are."""
    candidates = blocks[..., 4:].reshape(*blocks.shape[:-1], CANDIDATES, 1 + CLUES)
    f0, clues = candidates[..., 0], candidates[..., 1:]
    there = f0 > 0
    shared = np.concatenate([blocks[..., :2] / LEVEL_DB, np.asarray(ahead, np.float32)[..., None] / 2], -1)
    each = np.concatenate([clues, np.broadcast_to(shared[..., None, :], (*f0.shape, 3))], -1)
    best = [np.where(there, clues[..., n], 0).max(-1)[..., None] for n in (0, 1)]
    leader = np.where(there, -clues[..., 10], -9).argmax(-1)
    leader = np.take_along_axis(clues, leader[..., None, None], -2)[..., 0, :]
    frame = np.concatenate([shared, *best, leader[..., [0, 1, 4]], blocks[..., 3:4] / CANDIDATES], -1)
    return each.astype(np.float32), frame.astype(np.float32), f0, there


def examples(truth, blocks, is_creaky):
    """Inputs of the frames whose answer is known, and the answer: 0 for none, or the number of the candidate from 1."""
    found = []
    for ahead in range(AHEAD):
        count = min(len(truth.f0), len(blocks)) - ahead
        f0, known = truth.f0[ahead : ahead + count], truth.known[ahead : ahead + count]
        each, frame, hz, there = inputs(blocks[:count, ahead], np.full(count, ahead))
        ratio = np.where(there, hz, 1e-3) / np.where(f0 > 0, f0, 1.0)[:, None]
        cents = 1200 * np.abs(np.log2(ratio))
        near = cents.min(1) < (NEAR_CREAK_CENTS if is_creaky else NEAR_CENTS)
        answer = np.where(f0 > 0, cents.argmin(1) + 1, 0)
        good = known & ((f0 == 0) | near)
        found.append([value[good] for value in (each, frame, there, answer)])
    return [np.concatenate(values) for values in zip(*found)]


class Judge(torch.nn.Module):
    """Log probabilities `[frames, 1 + CANDIDATES]`, first that of none."""

    def __init__(self, hidden=(24, 12), none_hidden=16):
        super().__init__()
        linear, relu = torch.nn.Linear, torch.nn.ReLU
        self.score = torch.nn.Sequential(
            linear(SCORE_INPUTS, hidden[0]), relu(), linear(hidden[0], hidden[1]), relu(), linear(hidden[1], 1)
        )
        self.none = torch.nn.Sequential(linear(NONE_INPUTS, none_hidden), relu(), linear(none_hidden, 1))
        for name, size in (("score", SCORE_INPUTS), ("none", NONE_INPUTS)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def forward(self, each, frame, there):
        score = self.score((each - self.score_mean) / self.score_scale)[..., 0]
        none = self.none((frame - self.none_mean) / self.none_scale)
        right = torch.log_softmax(torch.where(there, score, torch.tensor(-1e4)), -1)
        log = torch.nn.functional.logsigmoid
        return torch.cat([log(none), log(-none) + right], -1)


def fit(found, epochs, seed=0, batch=4096):
    """A judge that learned from `examples`."""
    torch.manual_seed(seed)
    each, frame, there, answer = (torch.from_numpy(np.ascontiguousarray(value)) for value in found)
    judge = Judge()
    judge.score_mean[:], judge.score_scale[:] = each[there].mean(0), each[there].std(0) + 1e-3
    judge.none_mean[:], judge.none_scale[:] = frame.mean(0), frame.std(0) + 1e-3
    optimiser = torch.optim.AdamW(judge.parameters(), weight_decay=1e-4)
    batches = max(1, len(answer) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=epochs * batches, pct_start=0.1)
    for epoch in range(epochs):
        total = 0.0
        for part in torch.randperm(len(answer))[: batches * batch].chunk(batches):
            loss = torch.nn.functional.nll_loss(judge(each[part], frame[part], there[part]), answer[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: {total / batches:.4f}", flush=True)
    return judge


def layer(name, inputs_name, linear, mean=None, scale=None):
    """A layer as Rust; what is told is scaled by its first layer."""
    weights, biases = (value.detach().double().numpy() for value in (linear.weight, linear.bias))
    if mean is not None:
        weights = weights / scale.double().numpy()
        biases = biases - weights @ mean.double().numpy()
    text = f"\npub(super) const {name}: Layer<{inputs_name}, {len(weights)}> = Layer {{\n    weights: [\n"
    for row in weights:
        text += f"        [\n{numbers(row, 12)}\n        ],\n"
    return f"{text}    ],\n    biases: [\n{numbers(biases, 8)}\n    ],\n}};\n"


def numbers(values, indent, width=119):
    """Short numbers, as many in a line as `cargo fmt` puts there."""
    lines, line = [], ""
    for value in values:
        value = float(f"{value:.5}")
        text = (f"{value:.1f}" if value == int(value) else np.format_float_positional(value)) + ","
        if line and indent + len(line) + 1 + len(text) > width:
            lines, line = [*lines, line], ""
        line = f"{line} {text}".strip()
    return "\n".join(" " * indent + line for line in [*lines, line])


def rust(judge, hours):
    """The file of weights."""
    score, none = judge.score, judge.none
    parts = [
        HEAD.format(hours=hours),
        layer("SCORE_1", "SCORE_INPUTS", score[0], judge.score_mean, judge.score_scale),
        layer("SCORE_2", score[2].in_features, score[2]),
        layer("SCORE_3", score[4].in_features, score[4]),
        layer("NONE_1", "NONE_INPUTS", none[0], judge.none_mean, judge.none_scale),
        layer("NONE_2", none[2].in_features, none[2]),
    ]
    return "".join(parts)
