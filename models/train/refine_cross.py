"""Train the refiner on real conversions: other speakers' recordings in the four voices of people, unrefined.

Pairs that go there and back (`refine_pairs`) never show a stranger's throat. Here there is no truth to compare with, so two
things stand in for it: the content encoder has to read in what comes out what it reads in the singer's recording, and
a judge of patches (hinge loss; Isola et al. 2017, Lim and Ye 2017) that compares with the voice's own recordings must not
find the difference. In every other step the pairs keep what was learned before. Where the singer is quiet, gains may not be
higher than those of the network that it started from: else it imitates the noise of the recordings.

Below the work folder, in `cross/`: `SPEAKER.wav` and `SPEAKER.VOICE.wav`. What is there is not made again.
"""

import math
import random
import time

import numpy as np
import soundfile
import torch
from torch import nn
from torch.nn import functional as F

from . import net as content_net
from . import refine
from . import refine_net as net
from .data import RATE, AudioStore, load_rows, training_rows
from .refine_pairs import EMBEDDED, TUNING, Program, seconds_of

VOICES = {voice: speaker for speaker, voice, _ in EMBEDDED}
NAMES = tuple(sorted(VOICES))
LEAST_SECONDS, SECONDS, MOST_SECONDS = 6, 14, 20
LARGEST = 14  # semitones of transposition
CUTS, LENGTH = 8, refine.FRAMES * net.HOP
AMOUNTS = (0.6, 0.9)  # share of the gains that the engine lets act
LEVEL = 0.06


def singers(speech):
    """Rows of each speaker that may be trained on and is not a voice, in a fixed order of the speakers."""
    rows = [row for row in training_rows(load_rows(speech)) if row["speaker"] not in (*TUNING, *VOICES.values())]
    found = {}
    for row in rows:
        found.setdefault(row["speaker"], []).append(row)
    order = sorted(found)
    random.Random(1).shuffle(order)
    return {speaker: found[speaker] for speaker in order}


def convert(speech, work, coffre):
    """Each LibriSpeech reader to two voices, everybody else to one, by whole semitones as a user might."""
    from eval.measure import Pitch

    folder, store, pitch, rng = work / "cross", AudioStore(work), Pitch(), random.Random(7)
    folder.mkdir(exist_ok=True)
    program = Program(coffre, speech, work / "refine", {}, "cross")
    for speaker, rows in singers(speech).items():
        rng.shuffle(rows)
        names, likeness = rng.sample(NAMES, len(NAMES)), [rng.choice([60, 60, 100]) for _ in NAMES]
        lengths = np.cumsum([seconds_of(row) for row in rows])
        rows = rows[: int(np.searchsorted(lengths, SECONDS)) + 1]
        audio = np.concatenate([store.audio(row["row"]) for row in rows])[: MOST_SECONDS * RATE]
        track = pitch.track(audio)
        if len(audio) < LEAST_SECONDS * RATE or (track > 0).sum() < 30:
            continue
        soundfile.write(folder / f"{speaker}.wav", audio, RATE, subtype="PCM_16")
        for voice, like in list(zip(names, likeness))[: 2 if rows[0]["corpus"] == "librispeech" else 1]:
            target, fresh = folder / f"{speaker}.{voice}.wav", folder / "fresh.wav"
            if not target.exists():
                shift = round(12 * math.log2(program.median(voice) / np.median(track[track > 0])))
                program.convert(folder / f"{speaker}.wav", fresh, voice, max(-LARGEST, min(LARGEST, shift)), like)
                fresh.replace(target)
                print(f"refine-cross: {target.name}", flush=True)


class Crossing:
    """Conversions as `(converted, recording, voice)`, and the voices' own recordings."""

    def __init__(self, speech, work):
        self.conversions = []
        for path in sorted((work / "cross").glob("*.*.wav")):
            speaker, voice = path.stem.rsplit(".", 1)
            both = [soundfile.read(p, dtype="float32")[0] for p in (path, path.with_name(f"{speaker}.wav"))]
            common = min(map(len, both))
            converted, recording = (torch.from_numpy(audio[:common]) for audio in both)
            converted = converted * (LEVEL / converted.square().mean().sqrt().clamp(min=1e-4))
            self.conversions.append((converted, recording, NAMES.index(voice)))
        self.kept = self.conversions[7::25]
        self.conversions = [one for number, one in enumerate(self.conversions) if number % 25 != 7]
        store, rows = AudioStore(work), training_rows(load_rows(speech))
        own = lambda voice: [store.audio(row["row"]) for row in rows if row["speaker"] == VOICES[voice]]  # noqa: E731
        self.recordings = [torch.from_numpy(np.concatenate(own(voice))) for voice in NAMES]

    def batch(self, rng):
        """Cuts of 3 s: converted, the singer's recording, the voice's number, and as much of the voice's own."""
        rows = []
        for _ in range(CUTS):
            converted, recording, voice = rng.choice(self.conversions)
            real = self.recordings[voice]
            one, other = (rng.randrange(len(audio) - LENGTH) for audio in (converted, real))
            heard = converted[one : one + LENGTH] * 10 ** rng.uniform(-0.4, 0.3)
            own = real[other : other + LENGTH] * 10 ** rng.uniform(-0.4, 0.3)
            rows.append((heard, recording[one : one + LENGTH], torch.tensor(voice), own))
        return [torch.stack(part) for part in zip(*rows)]


class Patches(nn.Module):
    """Tells a voice's recordings from conversions to it, patch by patch, by bands and by bins."""

    def __init__(self):
        super().__init__()
        self.bands = self.stack([1, 24, 48, 64], [(5, 5)] * 3, [(2, 2)] * 3)
        self.bins = self.stack([1, 16, 32, 48], [(9, 3), (9, 3), (5, 3)], [(3, 1), (3, 2), (2, 2)])
        self.heads = nn.ModuleList(nn.Conv2d(size, 1, 3, padding=1) for size in (64, 48))
        self.voices = nn.ModuleList(nn.Embedding(len(NAMES), size) for size in (64, 48))

    @staticmethod
    def stack(sizes, kernels, strides):
        layers = []
        for before, after, kernel, stride in zip(sizes, sizes[1:], kernels, strides):
            padding = [length // 2 for length in kernel]
            layers.append(nn.utils.spectral_norm(nn.Conv2d(before, after, kernel, stride, padding)))
        return nn.ModuleList(layers)

    def forward(self, bands, bins, voice):
        """Logarithms of power `[batch, 64, frames]` and `[batch, 241, frames]`; two maps of opinions, above 0 for a recording."""
        opinions = []
        for x, layers, head, voices in zip((bands, bins), (self.bands, self.bins), self.heads, self.voices):
            x = (x[:, None] + 3) / 3
            for layer in layers:
                x = F.leaky_relu(layer(x), 0.2)
            opinions.append(head(x)[:, 0] + (x * voices(voice)[:, :, None, None]).mean(1))
        return opinions


class Training:
    """Joins what `refine.Training` has with the judge of patches."""

    def __init__(self, first, rate, opinion, quiet, floor):
        self.base = refine.Training("cpu", rate, 0.0, content=2.0, compiled=True)
        for network in (self.base.network, self.base.shadow):
            network.load_state_dict(first.state_dict())
        self.first, self.opinion, self.quiet, self.floor = first.requires_grad_(False), opinion, quiet, floor
        self.patches = Patches()
        self.judged = torch.compile(self.patches.forward)
        self.optimiser = torch.optim.AdamW(self.base.network.parameters(), rate, weight_decay=0.01, betas=(0.5, 0.99))
        self.patches_optimiser = torch.optim.AdamW(self.patches.parameters(), 4e-4, betas=(0.5, 0.99))
        paths = [refine.voice_path(None, name) for name in NAMES]
        self.described = torch.stack([torch.from_numpy(net.voice_values(path)) for path in paths])

    def opinions(self, spectra, voice):
        power = spectra.abs().square()
        with content_net.half_precision("cpu"):
            found = self.judged(self.base.loss.bands(power, self.floor), torch.log(power + self.floor), voice)
        return [one.float() for one in found]

    def excess(self, spectra, gain, voice, phones):
        """Mean square of what gains are above the first network's in quiet frames: from 22 dB below the loud ones on, wholly
        from 30 dB."""
        with torch.no_grad(), content_net.half_precision("cpu"):
            allowed = self.first(net.features(spectra), voice, phones).float()
        level = 10 * torch.log10(spectra.abs().square().mean(1) + 1e-9)
        weight = ((torch.quantile(level, 0.95, dim=1, keepdim=True) - 22 - level) / 8).clamp(0, 1)
        return (weight[:, :, None] * F.relu(gain - allowed).square()).mean()

    def crossed(self, rng, step, converted, recording, voice, own):
        """Train the judge on a batch of conversions; the loss of the refiner, and what was misread."""
        loss, described = self.base.loss, self.described[voice]
        phones = loss.said(rng, recording, int(rng.integers(0, 2)))
        spectra, clean = net.stft(converted), net.stft(recording)
        with content_net.half_precision("cpu"):
            gain = self.base.gains(net.features(spectra), described, phones).float()
        amount = torch.tensor(rng.uniform(*AMOUNTS, CUTS), dtype=torch.float32)[:, None, None]
        gained = spectra * torch.exp((gain * amount).transpose(1, 2))
        real, made = self.opinions(net.stft(own), voice), self.opinions(gained.detach(), voice)
        wrong = sum(F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in zip(real, made))
        self.patches_optimiser.zero_grad()
        wrong.backward()
        self.patches_optimiser.step()
        misread = loss.misread(gained, clean)
        total = loss.weight * misread
        if self.quiet:
            total = total + self.quiet * self.excess(spectra, gain, described, phones)
        if step > 150:
            total = total - self.opinion * sum(one.mean() for one in self.opinions(gained, voice))
        return total, float(misread.detach()), float(wrong.detach())

    def kept_to(self, rng, back, clean, voice):
        """The loss of a batch of pairs that went there and back."""
        loss = self.base.loss
        phones = loss.said(rng, clean, int(rng.integers(0, 2)))
        back, clean = net.stft(back), net.stft(clean)
        with content_net.half_precision("cpu"):
            gain = self.base.gains(net.features(back), voice, phones).float()
        bands, bins, gained = loss.parts(back, clean, gain)
        return 2 * (bands + 2 * bins) + loss.weight * loss.misread(gained, clean)

    def save(self, path):
        torch.save({"weights": self.base.shadow.state_dict(), "patches": self.patches.state_dict()}, path)

    def update(self, step, total, rate):
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.base.network.parameters(), 2.0)
        self.optimiser.step()
        keep = min(0.997, (step + 1) / (step + 30))
        with torch.no_grad():
            for old, new in zip(self.base.shadow.parameters(), self.base.network.parameters()):
                old.lerp_(new, 1 - keep)


def misread(training, kept):
    """Divergence of the phones in conversions that are kept back, with 60 % of the gains and with none."""
    rng, loss, found = np.random.default_rng(0), training.base.loss, []
    with torch.no_grad():
        for converted, recording, voice in kept:
            length = min(len(converted), 12 * RATE) // net.HOP * net.HOP
            spectra, clean = net.stft(converted[None, :length]), net.stft(recording[None, :length])
            phones = loss.said(rng, recording[None, :length])
            gain = training.base.shadow(net.features(spectra), training.described[voice][None], phones)
            amounts = (0.6, 0.0)
            found.append([float(loss.misread(spectra * torch.exp(a * gain.transpose(1, 2)), clean)) for a in amounts])
    return np.mean(found, 0).round(4).tolist()


def run(speech, work, coffre, name, start, minutes, rate=4e-4, opinion=0.3, quiet=0.0, floor=1e-4):
    """Make the conversions, and train checkpoint `name` from checkpoint `start`, with its judge if it has one, for
    `minutes`. `floor` is the power under which the judge hears nothing, `quiet` the weight of gains in quiet frames,
    `opinion` that of the judge."""
    torch.set_num_threads(1)
    convert(speech, work, coffre)
    crossing, (pairs, kept) = Crossing(speech, work), refine.Store(speech, work).split()
    training = Training(net.load(work / f"{start}.pt"), rate, opinion, quiet, floor)
    path, known = work / f"{name}.pt", torch.load(work / f"{start}.pt", weights_only=True).get("patches")
    if known:
        training.patches.load_state_dict(known)
    rng, step, spent, last, seen = random.Random(1), 0, 0.0, time.time(), []
    before = misread(training, crossing.kept)
    print(f"{len(crossing.conversions)} + {len(crossing.kept)} conversions; misread, unrefined:", before, flush=True)
    while spent < minutes * 60:
        torch.manual_seed(step)
        chance, progress = np.random.default_rng(step), spent / (minutes * 60)
        total, *said = training.crossed(chance, step, *crossing.batch(rng))
        if step % 2 == 0:
            total = total + training.kept_to(chance, *refine.batch(rng, pairs, 0.0))
        training.update(step, total, rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-5)
        seen.append(said)
        step, spent, last = step + 1, spent + time.time() - last, time.time()
        if step % 100 == 0:
            print(f"{spent:.0f} s, step {step}, misread and judged", np.mean(seen[-100:], 0).round(3).tolist(), flush=True)
            training.save(path)
            last = time.time()
    training.save(path)
    pairs_checked = refine.check(training.base.shadow, training.base.loss, kept, "cpu")
    print(f"end: step {step}, misread, unrefined:", misread(training, crossing.kept), "pairs:", pairs_checked)
