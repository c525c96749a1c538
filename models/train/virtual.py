"""Virtual voices: a random colour and a random formant scale for a recording and for its voice's mean shapes alike, so that
a network that gets a voice's description learns what it means, and not whose it is.

Shapes are on the engine's band axis: 64 bands, equally spaced in mel from 0 to 8000 Hz.
"""

import numpy as np

BANDS = 64
MEL = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), BANDS)
HZ = 700 * (10 ** (MEL / 2595) - 1)
POINTS = 9
NEPERS = np.log(10) / 10  # of power, per decibel


def colour(rng, decibels=3.0):
    """Random smooth gains in dB at `POINTS` places, equally spaced from 0 to 8000 Hz."""
    return np.array([rng.gauss(0, decibels) for _ in range(POINTS)])


def colour_of_bands(points):
    """The same gains per band, natural logarithm of power."""
    return NEPERS * np.interp(HZ, np.linspace(0, 8000, POINTS), points)


def scaled(values, scale):
    """Bands `[..., 64]` of a sound whose frequencies are multiplied by `scale`."""
    band = np.interp(HZ / scale, HZ, np.arange(BANDS))
    low = np.minimum(band.astype(int), BANDS - 2)
    fraction = (band - low).astype(np.float32)
    return values[..., low] * (1 - fraction) + values[..., low + 1] * fraction


def described(voice, points, scale):
    """The 128 values that tell of a voice, of the voice that `points` and `scale` make of it; each shape keeps its power."""
    shapes = 4 * np.asarray(voice, np.float64).reshape(2, BANDS)
    changed = scaled(shapes, scale) + colour_of_bands(points)
    changed += np.log(np.exp(shapes).sum(1) / np.exp(changed).sum(1))[:, None]
    return (changed / 4).reshape(-1).astype(np.float32)
