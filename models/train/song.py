"""Recordings sung by nobody: what `augment` mixes into the training of the content encoders beside speech.

`envelopes` keeps of every recording what WORLD (Morise et al. 2016, `pyworld`, a training aid) finds: an envelope from
which the harmonics are gone, and where it is voiced. `Sung` says that again on a melody of up to 1000 Hz, vowels held,
with vibrato and glides, breathy or pressed. Nothing is synthesised: an excitation of power 1 is
cut into the frames of `mel`, and its power spectra are multiplied by the envelopes. Labels move with the frames.
"""

import json
import math

import numpy as np

from . import mel
from .data import PHONES, RATE, AudioStore, load_rows, training_rows

POINTS = 96  # of an envelope, log power at equal distances in mel
HELD = np.array([phone in "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW L M N NG R V Z".split() for phone in PHONES])
BINS = np.arange(mel.FFT // 2 + 1) * RATE / mel.FFT
PLACES = 700 * (np.exp(np.linspace(0, math.log(1 + RATE / 2 / 700), POINTS)) - 1)
EMPHASIS = np.abs(1 - 0.97 * np.exp(-2j * np.pi * BINS / RATE)) ** 2
HANN = mel.HANN.numpy()


def between(places, wanted):
    """Matrix `[places, wanted]` of linear interpolation from values at `places`."""
    return np.stack([np.interp(wanted, places, row) for row in np.eye(len(places))]).astype(np.float32)


TO_BINS = between(PLACES, BINS)


def world(audio):
    """Log power envelopes `[frames, 513]` and F0 (0 where unvoiced), one of each per mel frame."""
    import pyworld

    x = audio.astype(np.float64)
    f0, times = pyworld.dio(x, RATE, f0_floor=60.0, f0_ceil=1000.0, frame_period=10.0)
    f0 = pyworld.stonemask(x, f0, times, RATE)
    spectrum = pyworld.cheaptrick(x, f0, times, RATE)
    count = mel.frames_in(len(audio))
    return np.log(spectrum[1 : 1 + count] + 1e-12), f0[1 : 1 + count]


def envelopes(speech, work, share):
    """Write `song.f16` and `song.json`: envelope and F0 of every `share`-th training recording."""
    if (work / "song.json").exists():
        return
    store, spans, position = AudioStore(work), {}, 0
    keep = between(np.arange(513) * RATE / 1024, PLACES)
    with open(work / "song.f16", "wb") as out:
        for row in training_rows(load_rows(speech))[::share]:
            if row["row"] not in store or not 30 <= mel.frames_in(len(store.pcm(row["row"]))) <= 3000:
                continue
            logs, f0 = world(store.audio(row["row"]))
            out.write(np.concatenate([logs @ keep, f0[:, None]], 1).astype(np.float16).tobytes())
            spans[row["row"]] = (position, len(f0))
            position += len(f0)
    (work / "song.json").write_text(json.dumps(spans))
    print(f"envelopes: {len(spans)} recordings, {position / 360000:.2f} h")


def load(work):
    """Row number to `[frames, 96]` log envelopes and `[frames]` F0."""
    values = np.memmap(work / "song.f16", dtype=np.float16, mode="r").reshape(-1, POINTS + 1)
    spans = json.loads((work / "song.json").read_text())
    return {int(r): (values[a : a + n, :POINTS], values[a : a + n, POINTS]) for r, (a, n) in spans.items()}


def slowness(rng, held, most):
    """Frames of song per frame of speech: each run of what can be held by a factor of its own, the rest about as fast."""
    edges = np.flatnonzero(np.diff(held.astype(int))) + 1
    factors = np.empty(len(held))
    for first, end in zip([0, *edges], [*edges, len(held)]):
        long = held[first] and rng.random() < 0.75
        factors[first:end] = math.exp(rng.uniform(0, math.log(most))) if long else math.exp(rng.uniform(-0.2, 0.3))
    return np.convolve(np.pad(factors, 2, mode="edge"), np.full(5, 0.2), "valid")


def melody(rng, frames):
    """F0 in Hz of `frames` frames: notes with glides, vibrato, drift."""
    top = 1000.0 if rng.random() < 0.25 else 600.0
    note = math.log(110) + rng.random() * math.log(top / 110)
    cents, step = np.zeros(frames), 0
    while step < frames:
        length = int(rng.uniform(12, 120))
        there = np.arange(len(cents[step : step + length]))
        depth = rng.uniform(0.1, 1.0) if rng.random() < 0.6 else 0.0
        swell = np.clip((there - rng.uniform(0, 30)) / 20, 0, 1)
        vibrato = depth * swell * np.sin(2 * np.pi * (there * 0.01 * rng.uniform(4.5, 7) + rng.random()))
        cents[step : step + length] = 12 / math.log(2) * note + vibrato
        note = np.clip(note + round(rng.normal(0, 3.5)) * math.log(2) / 12, math.log(90), math.log(top))
        step += length
    width = 2 * int(rng.integers(1, 8)) + 1
    glided = np.convolve(np.pad(cents, width // 2, mode="edge"), np.hanning(width + 2)[1:-1] * 2 / (width + 1), "valid")
    drift = np.interp(np.arange(frames), np.linspace(0, frames, 20), rng.normal(0, 0.15, 20))
    return np.exp((glided + drift) * math.log(2) / 12)


def spectra(sound):
    """`[frames, 257]` complex spectra of the frames of `mel`, without its emphasis."""
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(sound, mel.WINDOW)[:: mel.HOP] * HANN, mel.FFT)


def excitation(rng, f0, samples):
    """Power spectra `[frames, 257]` of an excitation of power 1: harmonics of `f0` (Hz per frame, 0 for hiss) with more
    or less breath, a first harmonic that is stronger or weaker than the rest."""
    frames = len(f0)
    voiced = f0 > 0
    steady = np.interp(np.arange(frames), np.flatnonzero(voiced), f0[voiced]) if voiced.any() else np.full(frames, 200.0)
    at = (np.arange(samples) - mel.WINDOW / 2) / mel.HOP
    pitch = np.interp(at, np.arange(frames), steady)
    phase = 2 * np.pi * (np.cumsum(pitch / RATE) + rng.random())
    count = np.floor(0.497 * RATE / pitch)
    half = np.sin(phase / 2)
    half = np.where(np.abs(half) < 1e-6, 1e-6, half)
    pulses = (np.sin((count + 0.5) * phase) / (2 * half) - 0.5) * 2 * np.sqrt(pitch / RATE)
    gate = np.interp(at, np.arange(frames), voiced.astype(float))
    tone = spectra(pulses * gate)
    hiss = spectra(rng.standard_normal(samples))
    low, high = rng.uniform(-40, -14), rng.uniform(-25, -1)
    breath = 10 ** (np.interp(BINS, [0, 1000, 6000], [low, low, high]) / 10)
    noise = np.where(voiced[:, None], np.sqrt(breath), 1.0)
    power = np.abs(tone * np.sqrt(1 - breath)[None] + hiss * noise) ** 2
    first = 10 ** (rng.uniform(-8, 8) / 10) - 1
    bump = np.exp(-(((BINS[None] - steady[:, None]) / (0.4 * steady[:, None])) ** 2))
    return power * np.where(voiced[:, None], 1 + first * bump, 1)


class Sung:
    """The recordings with an envelope, sung."""

    def __init__(self, work, items, weights):
        kept = load(work)
        pairs = [(item, weight) for item, weight in zip(items, weights) if item.row["row"] in kept]
        self.items = [item for item, _ in pairs]
        self.kept = [kept[item.row["row"]] for item in self.items]
        total = np.array([weight for _, weight in pairs])
        self.weights = total / total.sum()

    def draw(self, rng, samples):
        """Power spectra of one clip `[frames, 257]` (pre-emphasised, as `mel.power`), and targets of its first frames."""
        number = rng.choice(len(self.items), p=self.weights)
        item, (logs, f0) = self.items[number], self.kept[number]
        frames, count = mel.frames_in(samples), min(len(f0), len(item.soft))
        held = (item.soft[:count].astype(np.float32) @ HELD > 0.5) & (f0[:count] > 0)
        times = np.cumsum(slowness(rng, held, rng.uniform(1.2, 5)))
        begin = rng.uniform(0, max(times[-1] - frames, 1))
        inside = min(frames, int(times[-1] - begin))
        place = np.interp(begin + np.arange(inside), times, np.arange(count))
        low = np.minimum(place.astype(int), count - 2)
        share = (place - low)[:, None].astype(np.float32)
        smooth = logs[low].astype(np.float32) * (1 - share) + logs[low + 1].astype(np.float32) * share
        near = np.round(place).astype(int)
        notes = np.where(f0[near] > 0, melody(rng, inside), 0.0)
        power = np.zeros((frames, len(BINS)), np.float32)
        length = inside * mel.HOP + mel.WINDOW - mel.HOP
        power[:inside] = excitation(rng, notes, length) * np.exp(smooth @ TO_BINS) * EMPHASIS
        return power, item.targets(near)
