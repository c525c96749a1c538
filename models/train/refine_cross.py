"""Train the refiner on real conversions (`cross_data`): pairs that go there and back never contain another speaker's sound.

There is no truth to compare with, so three things stand in for it. The content encoder has to read in the output what
it reads in the singer's recording. A discriminator on patches (hinge loss; Isola et al. 2017, Lim and Ye 2017) must not
tell the output from the voice's own recordings. And a network that says who speaks (`speaker`) has to find it as
similar to the voice as the person's own recordings are. Every other step is on the pairs, so that nothing is forgotten.
Where the singer is quiet, gains may not be higher than those of the network that it started from: else it imitates the
noise of the recordings.
"""

import math
import random
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import cross_data, refine
from . import net as content_net
from . import refine_net as net
from . import speaker as speakers
from .cross_data import CUTS, Crossing
from .data import RATE

AMOUNTS = (0.6, 0.9)  # share of the gains that the engine lets act
DISTURBED = 0.5  # strength of the equaliser before it is said who speaks
CENTRE_CUTS = 24  # cuts of a person's recordings that say where the voice is


class Patches(nn.Module):
    """Tells a voice's recordings from conversions to it, patch by patch, by bands and by bins."""

    def __init__(self):
        super().__init__()
        self.bands = self.stack([1, 24, 48, 64], [(5, 5)] * 3, [(2, 2)] * 3)
        self.bins = self.stack([1, 16, 32, 48], [(9, 3), (9, 3), (5, 3)], [(3, 1), (3, 2), (2, 2)])
        self.heads = nn.ModuleList(nn.Conv2d(size, 1, 3, padding=1) for size in (64, 48))
        self.voices = nn.ModuleList(nn.Linear(net.VOICE_LEN, size) for size in (64, 48))

    @staticmethod
    def stack(sizes, kernels, strides):
        layers = []
        for before, after, kernel, stride in zip(sizes, sizes[1:], kernels, strides):
            padding = [length // 2 for length in kernel]
            layers.append(nn.utils.spectral_norm(nn.Conv2d(before, after, kernel, stride, padding)))
        return nn.ModuleList(layers)

    def forward(self, bands, bins, voice):
        """Logarithms of power `[batch, 64, frames]` and `[batch, 241, frames]`, and what the refiner is told of the voice
        `[batch, 128]`; two maps of opinions, above 0 for a recording."""
        opinions = []
        for x, layers, head, voices in zip((bands, bins), (self.bands, self.bins), self.heads, self.voices):
            x = (x[:, None] + 3) / 3
            for layer in layers:
                x = F.leaky_relu(layer(x), 0.2)
            opinions.append(head(x)[:, 0] + (x * voices(voice)[:, :, None, None]).mean(1))
        return opinions


class Identity:
    """How far a sound is from a voice, by the mean of networks that say who speaks."""

    def __init__(self, networks, crossing):
        self.networks, self.ear = networks, speakers.Ear()
        rng, centres, near = random.Random(5), [], []
        with torch.no_grad():
            for number in range(len(crossing.targets)):
                cuts = torch.stack([crossing.cut(rng, number) for _ in range(CENTRE_CUTS)])
                found = self.heard(net.stft(cuts))
                centres.append(F.normalize(found.mean(1), dim=1))
                near.append((found * centres[-1][:, None]).sum(2).mean(1))
        self.centres, self.near = torch.stack(centres, 1), torch.stack(near, 1)

    def heard(self, spectra):
        """What each network makes of the sounds, disturbed anew each time: `[networks, batch, 128]`."""
        energies = self.ear.bands(spectra)
        return torch.stack([network(self.ear.heard(self.ear.disturb(energies, DISTURBED))) for network in self.networks])

    def distance(self, spectra, voice):
        """Per sound: cosine that is missing to what the person's own recordings have, at least 0."""
        near = (self.heard(spectra) * self.centres[:, voice]).sum(2)
        return F.relu(self.near[:, voice] - near).mean(0)


class Training:
    """Joins what `refine.Training` has with the judge of patches and the network that says who speaks."""

    def __init__(self, first, crossing, identity, rate, weights, floor):
        self.base = refine.Training("cpu", rate, content=2.0, compiled=True)
        for network in (self.base.network, self.base.shadow):
            network.load_state_dict(first.state_dict())
        self.first, self.crossing, self.identity = first.requires_grad_(False), crossing, identity
        self.opinion, self.quiet, self.alike, self.floor = *weights, floor
        self.patches = Patches()
        self.judged = torch.compile(self.patches.forward)
        self.optimiser = torch.optim.AdamW(self.base.network.parameters(), rate, weight_decay=0.01, betas=(0.5, 0.99))
        self.patches_optimiser = torch.optim.AdamW(self.patches.parameters(), 4e-4, betas=(0.5, 0.99))

    def opinions(self, spectra, described):
        power = spectra.abs().square()
        with content_net.half_precision("cpu"):
            found = self.judged(self.base.loss.bands(power, self.floor), torch.log(power + self.floor), described)
        return [one.float() for one in found]

    def excess(self, spectra, gain, described, phones):
        """Mean square of what gains are above the first network's in quiet frames: from 22 dB below the loud ones on, wholly
        from 30 dB."""
        with torch.no_grad(), content_net.half_precision("cpu"):
            allowed = self.first(net.features(spectra), described, phones).float()
        level = 10 * torch.log10(spectra.abs().square().mean(1) + 1e-9)
        weight = ((torch.quantile(level, 0.95, dim=1, keepdim=True) - 22 - level) / 8).clamp(0, 1)
        return (weight[:, :, None] * F.relu(gain - allowed).square()).mean()

    def crossed(self, rng, step, converted, said, voice, own):
        """Train the judge on a batch of conversions; the loss of the refiner, and the mean of what was misread, how wrong
        the judge is and how far the speaker."""
        loss, described = self.base.loss, self.crossing.described[voice]
        phones = loss.said(rng, said, int(rng.integers(0, 2)))
        spectra, clean = net.stft(converted), net.stft(said)
        with content_net.half_precision("cpu"):
            gain = self.base.gains(net.features(spectra), described, phones).float()
        amount = torch.tensor(rng.uniform(*AMOUNTS, CUTS), dtype=torch.float32)[:, None, None]
        gained = spectra * torch.exp((gain * amount).transpose(1, 2))
        real, made = self.opinions(net.stft(own), described), self.opinions(gained.detach(), described)
        wrong = sum(F.relu(1 - a).mean() + F.relu(1 + b).mean() for a, b in zip(real, made))
        self.patches_optimiser.zero_grad()
        wrong.backward()
        self.patches_optimiser.step()
        misread, far = loss.misread(gained, clean), self.identity.distance(gained, voice).mean()
        total = loss.weight * misread + self.alike * far
        if self.quiet:
            total = total + self.quiet * self.excess(spectra, gain, described, phones)
        if step > 150:
            total = total - self.opinion * sum(one.mean() for one in self.opinions(gained, described))
        return total, float(misread.detach()), float(wrong.detach()), float(far.detach())

    def kept_to(self, rng, back, clean, described):
        """The loss of a batch of pairs that went there and back."""
        loss = self.base.loss
        phones = loss.said(rng, clean, int(rng.integers(0, 2)))
        back, clean = net.stft(back), net.stft(clean)
        with content_net.half_precision("cpu"):
            gain = self.base.gains(net.features(back), described, phones).float()
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


def check(training):
    """Over the conversions that are kept back, what is misread and how far the speaker is, with 60 % of the gains and
    with none."""
    rng, loss, found = np.random.default_rng(0), training.base.loss, []
    torch.manual_seed(0)
    with torch.no_grad():
        for converted, said, voice in training.crossing.kept:
            length = min(len(converted), 12 * RATE) // net.HOP * net.HOP
            spectra, clean = net.stft(converted[None, :length]), net.stft(said[None, :length])
            phones = loss.said(rng, said[None, :length])
            gain = training.base.shadow(net.features(spectra), training.crossing.described[voice][None], phones)
            tried = [spectra * torch.exp(amount * gain.transpose(1, 2)) for amount in (0.6, 0.0)]
            far = [float(training.identity.distance(one, torch.tensor([voice]))) for one in tried]
            found.append([float(loss.misread(one, clean)) for one in tried] + far)
    return np.mean(found, 0).round(4).tolist()


def write_mean(work, name, others):
    """Checkpoint `name`: the mean of the weights of `others`, of which each went on from the one before (Izmailov et al. 2018;
    Wortsman et al. 2022)."""
    states = [net.load(work / f"{other}.pt").state_dict() for other in others]
    mean = {key: sum(state[key] for state in states) / len(states) for key in states[0]}
    torch.save({"weights": mean}, work / f"{name}.pt")


def run(speech, work, coffre, name, start, minutes, rate, weights, floor, is_any, virtual_share=0.6):
    """Make the conversions, and train checkpoint `name` from checkpoint `start`, with its judge if it has one, for
    `minutes`. `weights` are those of the judge's opinion, of gains in quiet frames and of who speaks; `floor` is the
    power under which the judge hears nothing; `is_any` trains the refiner of all voices on clones."""
    torch.set_num_threads(1)
    (cross_data.convert_any if is_any else cross_data.convert)(speech, work, coffre)
    crossing, (pairs, kept) = Crossing(speech, work, is_any), refine.Store(speech, work).split()
    judges = [speakers.load(path) for path in sorted(work.glob("speaker-*.pt"))]
    if not judges:
        raise SystemExit(f"refine-cross: no speaker-*.pt in {work}; `speaker` makes them")
    identity = Identity(judges, crossing)
    training = Training(net.load(work / f"{start}.pt"), crossing, identity, rate, weights, floor)
    path, known = work / f"{name}.pt", torch.load(work / f"{start}.pt", weights_only=True).get("patches", {})
    if known:
        training.patches.load_state_dict(known)
    rng, step, spent, last, seen = random.Random(1), 0, 0.0, time.time(), []
    print(f"{len(crossing.conversions)} + {len(crossing.kept)} conversions to {len(crossing.targets)} voices", flush=True)
    print("misread, unrefined, far, unrefined:", check(training), flush=True)
    while spent < minutes * 60:
        torch.manual_seed(step)
        chance, progress = np.random.default_rng(step), spent / (minutes * 60)
        total, *said = training.crossed(chance, step, *crossing.batch(rng))
        if step % 2 == 0:
            total = total + training.kept_to(chance, *refine.batch(rng, pairs, virtual_share if is_any else 0.0))
        training.update(step, total, rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-5)
        seen.append(said)
        step, spent, last = step + 1, spent + time.time() - last, time.time()
        if step % 100 == 0:
            mean = np.mean(seen[-100:], 0).round(3).tolist()
            print(f"{spent:.0f} s, step {step}, misread, judged, far", mean, check(training) if step % 500 == 0 else "", flush=True)
            training.save(path)
            last = time.time()
    training.save(path)
    pairs_checked = refine.check(training.base.shadow, training.base.loss, kept, "cpu")
    print(f"end: step {step}, misread, unrefined, far, unrefined:", check(training), "pairs:", pairs_checked)
