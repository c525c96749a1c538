"""A small network that says who speaks, so that the refiner's training can measure how far a conversion is from its voice.

Its input is the log energies of 64 bands over about two seconds, without their mean level. Random equalisers, noise floors
and cut-off tops make it ignore room and microphone; otherwise it would know a reader of LibriSpeech by the recording. A recording that is played faster or slower is another speaker's. Additive-margin softmax over the
speakers (Wang et al. 2018) and attentive statistics pooling (Okabe et al. 2018). The judge's own measure of similarity is another network that nothing here is trained on.
"""

import math
import random
import time

import numpy as np
import soxr
import torch
from torch import nn
from torch.nn import functional as F

from . import net as content_net
from . import refine_net
from .data import RATE, TARGETS, AudioStore, load_rows, load_split, training_rows
from .refine import BANDS, bank

CHANNELS, BLOCKS, TAPS, EMBEDDING = 192, 6, 5, 128
CLIPS, SECONDS = 48, 2
MARGIN, SCALE = 0.2, 30.0
FLOOR = 1e-6
VOICE_SHARE = 0.15  # of the clips are one of the four embedded voices
SPEEDS = (1.0, 0.88, 1.13)


class Block(nn.Module):
    """Dilated convolution over time per channel, then a two-layer perceptron per frame, added to the input."""

    def __init__(self, dilation):
        super().__init__()
        reach = dilation * (TAPS - 1) // 2
        self.filter = nn.Conv1d(CHANNELS, CHANNELS, TAPS, dilation=dilation, padding=reach, groups=CHANNELS)
        self.norm = nn.LayerNorm(CHANNELS)
        self.wide = nn.Linear(CHANNELS, 2 * CHANNELS)
        self.narrow = nn.Linear(2 * CHANNELS, CHANNELS)

    def forward(self, x):
        filtered = self.filter(x.transpose(1, 2)).transpose(1, 2)
        return x + self.narrow(F.gelu(self.wide(self.norm(filtered)), approximate="tanh"))


class SpeakerNet(nn.Module):
    """Log energies `[batch, frames, 64]` to embeddings of length 1, `[batch, 128]`."""

    def __init__(self, blocks=BLOCKS):
        super().__init__()
        self.input = nn.Linear(BANDS, CHANNELS)
        self.blocks = nn.ModuleList(Block(number % 3 + 1) for number in range(blocks))
        self.norm = nn.LayerNorm(CHANNELS)
        self.attention = nn.Linear(CHANNELS, CHANNELS)
        self.head = nn.Linear(2 * CHANNELS, EMBEDDING)

    def forward(self, bands):
        bands = bands - bands.mean((1, 2), keepdim=True)
        x = self.input(bands / 3)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        share = torch.softmax(self.attention(x).float(), 1)
        mean = (share * x).sum(1)
        spread = ((share * x.square()).sum(1) - mean.square()).clamp(min=1e-4).sqrt()
        return F.normalize(self.head(torch.cat([mean, spread], 1)).float(), dim=1)


class Ear:
    """Spectra to what the network hears; `disturb` changes what belongs to the recording."""

    def __init__(self):
        self.bank = bank()

    def bands(self, spectra):
        """Energies `[batch, frames, 64]` of `[batch, 241, frames]`."""
        return torch.einsum("mf,bft->btm", self.bank, spectra.abs().square())

    def disturb(self, energies, strength=1.0):
        """A smooth equaliser of about 6 dB times `strength`, a coloured noise floor 20 to 50 dB down and, now and then, no top."""
        count, _, bands = energies.shape
        place = torch.linspace(0, math.pi, bands)
        waves = torch.arange(1, 6)
        size = strength * 0.7 * torch.randn(count, 5) / waves.sqrt()
        curve = torch.einsum("bw,wm->bm", size, torch.cos(waves[:, None] * place))
        energies = energies * torch.exp(curve)[:, None]
        tilt = torch.exp(torch.randn(count, 1) * (place / math.pi - 0.5) * 2)
        down = 10 ** (-torch.empty(count, 1).uniform_(2, 5))
        energies = energies + (energies.mean((1, 2))[:, None] * down * tilt)[:, None]
        cut = torch.where(torch.rand(count) < 0.3, torch.randint(50, bands, (count,)), bands)
        return torch.where(torch.arange(bands)[None, None] < cut[:, None, None], energies, energies.mean((1, 2), True) * 1e-5)

    def heard(self, energies):
        return torch.log(energies + FLOOR)


class Recordings:
    """Cuts of every speaker that may be trained on."""

    def __init__(self, rows, store):
        self.rows = {}
        for row in rows:
            if row["row"] in store and store.spans[row["row"]][1] > RATE * 3 // 2:
                self.rows.setdefault(row["speaker"], []).append(row["row"])
        self.names, self.store = sorted(self.rows), store

    def cut(self, rng, name, speed=1.0):
        """Two seconds at a multiple of the speed; of shorter recordings several."""
        needed, found, length = math.ceil(SECONDS * RATE * speed) + 8, [], 0
        while length < needed:
            pcm = self.store.pcm(rng.choice(self.rows[name]))
            start = rng.randrange(max(1, len(pcm) - needed))
            found.append(pcm[start : start + needed])
            length += len(found[-1])
        audio = np.concatenate(found)[:needed].astype(np.float32) / 32768
        return (soxr.resample(audio, RATE * speed, RATE) if speed != 1 else audio)[: SECONDS * RATE]

    def batch(self, rng):
        """Cuts, and the number of speaker and speed of each."""
        names = [rng.choice(TARGETS if rng.random() < VOICE_SHARE else self.names) for _ in range(CLIPS)]
        speeds = [rng.randrange(len(SPEEDS)) for _ in names]
        audio = np.stack([self.cut(rng, name, SPEEDS[speed]) for name, speed in zip(names, speeds)])
        who = [self.names.index(name) * len(SPEEDS) + speed for name, speed in zip(names, speeds)]
        return torch.from_numpy(audio), torch.tensor(who)


def equal_error(network, recordings, clips=12):
    """Equal error rate in percent between cuts of speakers it has not met."""
    rng, ear, found = random.Random(3), Ear(), []
    with torch.no_grad():
        for name in recordings.names:
            audio = torch.from_numpy(np.stack([recordings.cut(rng, name) for _ in range(clips)]))
            found.append(network(ear.heard(ear.bands(refine_net.stft(audio)))))
    who = np.repeat(np.arange(len(found)), clips)
    found = torch.cat(found).numpy()
    scores = (found @ found.T)[np.triu_indices(len(found), 1)]
    same = (who[:, None] == who[None])[np.triu_indices(len(found), 1)]
    edges = np.quantile(scores[same], np.linspace(0, 1, 201))
    misses = np.array([(scores[same] < edge).mean() for edge in edges])
    alarms = np.array([(scores[~same] >= edge).mean() for edge in edges])
    return 100 * float((misses + alarms)[np.argmin(abs(misses - alarms))] / 2)


def load(path):
    """The network of a checkpoint, as `run` writes it; nothing trains it further."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network = SpeakerNet(saved["blocks"])
    network.load_state_dict(saved["weights"])
    return network.eval().requires_grad_(False)


def run(speech, work, name, minutes, seed, rate=2e-3):
    """Train checkpoint `name`; says every 200 steps how well speakers of the validation set are told apart."""
    torch.set_num_threads(1)
    rows, store = load_rows(speech), AudioStore(work)
    held = set(load_split()["validation"])
    known = Recordings(training_rows(rows), store)
    others = Recordings([row for row in rows if row["speaker"] in held], store)
    torch.manual_seed(seed)
    network, ear = SpeakerNet(), Ear()
    classes = nn.Parameter(torch.randn(len(known.names) * len(SPEEDS), EMBEDDING) * 0.1)
    optimiser = torch.optim.AdamW([*network.parameters(), classes], rate, weight_decay=0.02)
    read = torch.compile(network.forward)
    print(f"speaker: {len(known.names)} speakers, {len(others.names)} to check with", flush=True)
    rng, step, spent, last, seen = random.Random(seed), 0, 0.0, time.time(), []
    while spent < minutes * 60:
        progress = spent / (minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-5
        torch.manual_seed(100000 * seed + step)
        audio, who = known.batch(rng)
        heard = ear.heard(ear.disturb(ear.bands(refine_net.stft(audio))))
        with content_net.half_precision("cpu"):
            found = read(heard)
        near = found @ F.normalize(classes, dim=1).T
        loss = F.cross_entropy(SCALE * (near - MARGIN * F.one_hot(who, len(classes))), who)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append([loss.item(), float((near.argmax(1) == who).float().mean())])
        step, spent, last = step + 1, spent + time.time() - last, time.time()
        if step % 200 == 0:
            error = equal_error(network, others)
            print(f"{spent:.0f} s, step {step}", np.mean(seen[-200:], 0).round(3).tolist(), f"EER {error:.1f} %", flush=True)
            torch.save({"weights": network.state_dict(), "blocks": BLOCKS}, work / f"{name}.pt")
            last = time.time()
    torch.save({"weights": network.state_dict(), "blocks": BLOCKS}, work / f"{name}.pt")
    print(f"end: step {step}, EER {equal_error(network, others):.1f} %", flush=True)
