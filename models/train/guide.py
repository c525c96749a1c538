"""Stage 4: the guide, which labels every frame of the speech set for the encoders to learn.

Its input is a recording's mel frames, which tell when something is said, and the output of a recogniser's encoder
(Moonshine tiny, `listen.py`), which tells what. It sees both sides of a frame and the undisguised recording, and is
never shipped. It learns from the alignments; its phone probabilities and a few directions of its features are the targets
of the content encoders for all the speech there is, with or without text.
"""

import json
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import labels, listen, net
from .data import AudioStore, load_rows, load_split, training_rows
from .mel import BANDS, frames_in, mel

CLASSES = net.CLASSES
CHANNELS, BLOCKS, TAPS, DIRECTIONS = 192, 6, 9, net.KEY_DIM
CLIPS, FRAMES, SMOOTHING = 16, 300, 0.02


class Block(nn.Module):
    """The encoder's block (`net.py`) with its kernel centred."""

    def __init__(self):
        super().__init__()
        self.taps = nn.Parameter(torch.randn(TAPS, CHANNELS) * TAPS**-0.5)
        self.bias = nn.Parameter(torch.zeros(CHANNELS))
        self.norm = nn.LayerNorm(CHANNELS)
        self.wide = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.narrow = nn.Linear(3 * CHANNELS, CHANNELS)
        self.scale = nn.Parameter(torch.full((CHANNELS,), 0.3))

    def forward(self, x):
        """`[batch, frames, channels]` to the same shape."""
        padded = F.pad(x, (0, 0, TAPS // 2, TAPS // 2))
        filtered = self.bias + sum(padded[:, tap : tap + x.shape[1]] * self.taps[tap] for tap in range(TAPS))
        return x + self.scale * self.narrow(F.gelu(self.wide(self.norm(filtered))))


class Guide(nn.Module):
    """Mel frames and a recogniser's features to phone logits and the features before them."""

    def __init__(self):
        super().__init__()
        self.heard = nn.Sequential(nn.LayerNorm(listen.WIDTH), nn.Linear(listen.WIDTH, CHANNELS))
        self.seen = nn.Linear(BANDS, CHANNELS)
        self.drop = nn.Dropout(0.15)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(CHANNELS)
        self.head = nn.Linear(CHANNELS, CLASSES)

    def forward(self, frames, heard):
        """`[batch, frames, 80]` and `[batch, frames, 288]` to logits `[batch, frames, 40]` and `[batch, frames, 192]`."""
        x = self.seen(frames) + self.heard(self.drop(heard))
        for block in self.blocks:
            x = block(self.drop(x))
        h = self.norm(x)
        return self.head(h), h


def inputs(store, heard, row):
    """Mel frames and recogniser features of one recording, as many of each."""
    frames = mel(torch.from_numpy(store.audio(row))[None])[0]
    return frames, torch.from_numpy(heard.frames(row, len(frames)))


def batch(rng, clips, weights):
    """Cuts of `FRAMES` frames in a random colour, some of the mel bands or of the features hidden, and their phones."""
    frames, heard = torch.zeros(CLIPS, FRAMES, BANDS), torch.zeros(CLIPS, FRAMES, listen.WIDTH)
    phones = torch.full((CLIPS, FRAMES), -100)
    for slot, number in enumerate(rng.choice(len(clips), CLIPS, p=weights)):
        m, h, p = clips[number]
        start = int(rng.integers(0, max(1, len(m) - FRAMES + 1)))
        length = min(FRAMES, len(m) - start)
        frames[slot, :length] = m[start : start + length].float()
        heard[slot, :length] = h[start : start + length].float()
        phones[slot, :length] = torch.from_numpy(p[start : start + length])
        tilt = torch.linspace(-1, 1, BANDS)
        frames[slot] += float(rng.normal(0, 0.2)) + float(rng.normal(0, 0.2)) * tilt
        if rng.random() < 0.3:
            first = int(rng.integers(0, FRAMES - 20))
            heard[slot, first : first + int(rng.integers(5, 20))] = 0
        if rng.random() < 0.3:
            first = int(rng.integers(0, BANDS - 10))
            frames[slot, :, first : first + int(rng.integers(3, 10))] = 0
    return frames, heard, phones


def accuracy(network, sets):
    """Per set: share of right frames (%), all of them and those that are not silence."""
    found = {}
    for name, clips in sets.items():
        right, speech = [], []
        for m, h, phones in clips:
            with torch.no_grad():
                logits, _ = network(m.float()[None], h.float()[None])
            right.append(logits[0].argmax(1).numpy() == phones)
            speech.append(phones > 0)
        right, speech = np.concatenate(right), np.concatenate(speech)
        found[name] = (round(100 * float(right.mean()), 1), round(100 * float(right[speech].mean()), 1))
    return found


def run(speech, work, minutes, rate=1.5e-3):
    """Train `guide.pt` on the alignments of the training speakers for `minutes`."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng, store, heard = np.random.default_rng(0), AudioStore(work), listen.Heard(work)
    rows, phones = load_rows(speech), labels.aligned(work, store)
    clip = lambda row: (*(part.half() for part in inputs(store, heard, row)), phones[row])  # noqa: E731
    known = [r["row"] for r in training_rows(rows) if r["row"] in phones and r["row"] in heard]
    clips = [clip(row) for row in known]
    weights = np.array([len(p) for _, _, p in clips], float)
    weights /= weights.sum()
    held = set(load_split()["validation"])
    names = {r["row"]: "readers" if r["speaker"].startswith("ls_") else "accented" for r in rows if r["speaker"] in held}
    names.update({r["row"]: "native" for r in [r for r in rows if r["speaker"] == "ls_26"][:25]})
    sets = {}
    for row, name in names.items():
        if row in phones and row in heard and len(sets.setdefault(name, [])) < 60:
            sets[name].append(clip(row))
    print(f"{len(clips)} aligned recordings, {sum(len(p) for _, _, p in clips) / 360000:.2f} h", flush=True)
    network = Guide()
    compiled = torch.compile(network.forward)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05, betas=(0.9, 0.98))
    started, step, seen = time.time(), 0, []
    while (progress := (time.time() - started) / (minutes * 60)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (1 - progress) + 1e-5
        frames, features, truth = batch(rng, clips, weights)
        with net.half_precision("cpu"):
            logits, _ = compiled(frames, features)
        loss = F.cross_entropy(logits.float().flatten(0, 1), truth.flatten(), ignore_index=-100, label_smoothing=SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        step += 1
        seen.append(float(loss.detach()))
        if step % 200 == 0:
            line = f"{time.time() - started:.0f} s, step {step}, cross-entropy {np.mean(seen[-100:]):.3f}"
            print(line, accuracy(network.eval(), sets), flush=True)
            network.train()
    print(step, accuracy(network.eval(), sets), flush=True)
    torch.save(network.state_dict(), work / "guide.pt")
    label(speech, work)


def label(speech, work):
    """Write what the guide says of every training recording: `guide.json`, and in `guide.f16` 40 probabilities and 64
    directions of its features a frame, the speaker's mean taken off."""
    torch.set_num_threads(1)
    network = Guide()
    network.load_state_dict(torch.load(work / "guide.pt", weights_only=True))
    network.eval()
    store, heard, found, by_speaker = AudioStore(work), listen.Heard(work), {}, {}
    for row in training_rows(load_rows(speech)):
        if row["row"] not in heard or frames_in(len(store.pcm(row["row"]))) < 30:
            continue
        with torch.no_grad():
            logits, h = network(*(part.float()[None] for part in inputs(store, heard, row["row"])))
        found[row["row"]] = logits[0].softmax(1).numpy().astype(np.float16), h[0].numpy().astype(np.float16)
        by_speaker.setdefault(row["speaker"], []).append(row["row"])
    for numbers in by_speaker.values():
        said = np.concatenate([found[n][1][found[n][0][:, 0] < 0.5] for n in numbers]).astype(np.float32)
        mean = said.mean(0) if len(said) else 0
        for n in numbers:
            found[n] = found[n][0], (found[n][1] - mean).astype(np.float16)
    some = np.concatenate([h[::10] for _, h in found.values()]).astype(np.float64)
    values, axes = np.linalg.eigh(np.cov(some.T))
    axes = axes[:, ::-1][:, :DIRECTIONS] / np.sqrt(values[::-1][:DIRECTIONS].mean())
    print(f"{DIRECTIONS} directions hold {values[::-1][:DIRECTIONS].sum() / values.sum():.2f} of the variance")
    spans, position = {}, 0
    with open(work / "guide.f16", "wb") as out:
        for row, (soft, h) in found.items():
            out.write(np.concatenate([soft, (h.astype(np.float32) @ axes).astype(np.float16)], 1).tobytes())
            spans[row] = (position, len(soft))
            position += len(soft)
    (work / "guide.json").write_text(json.dumps(spans))


def load(work, source="guide"):
    """Row number to `[frames, 40]` probabilities and `[frames, 64]` directions, of the guide or of the `teacher`."""
    values = np.memmap(work / f"{source}.f16", dtype=np.float16, mode="r").reshape(-1, CLASSES + DIRECTIONS)
    spans = json.loads((work / f"{source}.json").read_text())
    return {int(r): (values[a : a + n, :CLASSES], values[a : a + n, CLASSES:]) for r, (a, n) in spans.items()}
