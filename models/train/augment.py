"""Training batches: clips cut at random, each disguised as another speaker in another room.

Resampling moves pitch and formants together, warped mel bands move the formants back or elsewhere; with both, pitch and
formants vary separately.
"""

import math

import numpy as np
import torch

from . import mel
from .guide import DIRECTIONS
from .net import CLASSES

SEGMENT = 300 * mel.HOP + mel.WINDOW - mel.HOP  # 3 s
FRAMES = mel.frames_in(SEGMENT)
WARPS = np.exp(np.linspace(math.log(0.75), math.log(1.35), 41))
BANKS = torch.tensor(np.stack([mel.bank(w) for w in WARPS]), dtype=torch.float32).transpose(1, 2)


def stretch(rng):
    """Resampling factor: mostly near 1, sometimes as wide as singing needs."""
    choice = rng.random()
    if choice < 0.55:
        return math.exp(rng.uniform(-0.15, 0.15))
    return math.exp(rng.uniform(-0.35, 0.45)) if choice < 0.75 else 1.0


def cut(rng, audio, factor):
    """`SEGMENT` samples (zero padded) from a random place, and the source frame of each frame (-1 in the padding)."""
    need = int(SEGMENT * factor) + 2
    start = int(rng.integers(0, max(1, (len(audio) - need) // mel.HOP + 1))) * mel.HOP
    piece = audio[start : start + need]
    length = min(SEGMENT, int((len(piece) - 1) / factor))
    out = np.zeros(SEGMENT, np.float32)
    out[:length] = piece[:length] if factor == 1 else np.interp(np.arange(length) * factor, np.arange(len(piece)), piece)
    frames = np.full(FRAMES, -1)
    whole = mel.frames_in(length)
    middle = mel.WINDOW / 2
    centre = (np.arange(whole) * mel.HOP + middle) * factor + start
    frames[:whole] = np.clip(np.round((centre - middle) / mel.HOP), 0, mel.frames_in(len(audio)) - 1)
    return out, frames


def uniform(rng, low, high, shape):
    return torch.tensor(rng.uniform(low, high, shape), dtype=torch.float32)


def chosen(rng, probability, rows):
    return torch.tensor(rng.random(rows) < probability, dtype=torch.float32)


def disguise(rng, audio, factors, noisy=0.5, loudest=5, sung=None):
    """Network input `[rows, frames, 80]` of `[rows, samples]` under random gain, formants and colour, and under noise in
    `noisy` of the rows, up to `loudest` dB below the sound. `sung` has power spectra that stand for rows of `audio`."""
    rows = len(audio)
    gain = torch.tensor(np.exp(rng.normal(0, 0.5, (rows, 1))), dtype=torch.float32)
    power = mel.power(audio * gain)
    for row, spectra in (sung or {}).items():
        power[row] = spectra * gain[row].square()
    snr = torch.where(chosen(rng, noisy, rows) > 0, uniform(rng, loudest, 40, rows), torch.tensor(60.0))
    shape = torch.linspace(0.02, 1, power.shape[2])[None] ** uniform(rng, -1.5, 0.3, (rows, 1))
    shape = shape / shape.mean(1, keepdim=True) * (10 ** (-snr / 10))[:, None] * power.mean((1, 2))[:, None]
    power = power + shape[:, None] * torch.empty_like(power).exponential_()
    throats = np.where(rng.random(rows) < 0.8, np.exp(rng.uniform(-0.22, 0.22, rows)), 1.0)
    wanted = np.asarray(factors) / throats
    nearest = np.abs(np.log(WARPS)[None] - np.log(wanted)[:, None]).argmin(1)
    bands = torch.log(torch.bmm(power, BANKS[torch.from_numpy(nearest)]) + mel.FLOOR)
    place = torch.linspace(0, 1, mel.BANDS)[None]
    colour = torch.zeros(rows, mel.BANDS)
    for cycles in (0.5, 1, 2, 3):
        wave = torch.cos(math.pi * (cycles * place + uniform(rng, 0, 2, (rows, 1))))
        colour += torch.tensor(rng.normal(0, 0.9 / cycles**0.5, (rows, 1)), dtype=torch.float32) * wave
    bands = bands + (colour * chosen(rng, 0.8, rows)[:, None])[:, None]
    for row in range(rows):
        if rng.random() < 0.12:  # a narrow-band channel
            top = int(rng.integers(52, 74))
            bands[row, :, top:] = bands[row, :, top:].clamp(max=float(rng.normal(-11, 1)))
        if rng.random() < 0.3:  # a short drop-out
            first = int(rng.integers(0, bands.shape[1] - 20))
            bands[row, first : first + int(rng.integers(3, 15))] = bands[row].mean()
    return (bands + mel.SHIFT) / mel.SCALE


def sustain(rng, inputs, targets, mask):
    """Slows a quarter of the clips down here and there, as singing holds its vowels: frames are repeated, up to five
    times, with what belongs to them."""
    for row in range(len(inputs)):
        if rng.random() < 0.25:
            knots = rng.uniform(-1.6, 0.2, 12)
            rates = np.exp(np.interp(np.linspace(0, 11, FRAMES), np.arange(12), knots))
            place = np.clip(np.cumsum(rates) - rates[0], 0, FRAMES - 1)
            low = np.minimum(place.astype(int), FRAMES - 2)
            share = torch.from_numpy((place - low).astype(np.float32))[:, None]
            near = np.round(place).astype(int)
            inputs[row] = inputs[row, low] * (1 - share) + inputs[row, low + 1] * share
            targets[row], mask[row] = targets[row, near], mask[row, near]
    return inputs, targets, mask


def batch(rng, items, weights, clips, sung=None, share=0.0):
    """Inputs `[clips, FRAMES, 80]`, targets `[clips, FRAMES, 104]` and how sure they are `[clips, FRAMES]`.

    Items offer `audio()` and `targets(frames)`, which maps source frames to probabilities and directions, and perhaps
    `sure` with a number per frame. `share` of the clips are drawn from `sung`.
    """
    audio, factors, spectra = torch.zeros(clips, SEGMENT), [1.0] * clips, {}
    targets, mask = torch.zeros(clips, FRAMES, CLASSES + DIRECTIONS), torch.zeros(clips, FRAMES)
    for slot, number in enumerate(rng.choice(len(items), clips, p=weights)):
        if rng.random() < share:
            power, wanted = sung.draw(rng, SEGMENT)
            spectra[slot] = torch.from_numpy(power)
            targets[slot, : len(wanted)] = torch.from_numpy(wanted)
            mask[slot, : len(wanted)] = 1
            continue
        factors[slot] = stretch(rng)
        piece, frames = cut(rng, items[number].audio(), factors[slot])
        audio[slot] = torch.from_numpy(piece)
        inside = frames >= 0
        targets[slot, : inside.sum()] = torch.from_numpy(items[number].targets(frames[inside]))
        sure = getattr(items[number], "sure", None)
        mask[slot, : inside.sum()] = 1.0 if sure is None else torch.from_numpy(sure[frames[inside]])
    return sustain(rng, disguise(rng, audio, factors, sung=spectra), targets, mask)
