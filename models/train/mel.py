"""The encoder's input, "mel spec m1", in torch. `src/` computes the same; `tests/data/content_parity.json` compares.

16 kHz samples, pre-emphasis 0.97, frame k = samples [160 k, 160 k + 320), periodic Hann, FFT of 512, power, 80
triangles between 50 and 7600 Hz equally spaced in mel = 1127 ln(1 + f / 700) (O'Shaughnessy's formula in HTK's
form), each triangle summing to 1, natural log with floor 1e-6, then (value + 7) / 3.
"""

import math

import numpy as np
import torch

HOP, WINDOW, FFT, BANDS = 160, 320, 512, 80
LOW_HZ, HIGH_HZ = 50.0, 7600.0
FLOOR, SHIFT, SCALE = 1e-6, 7.0, 3.0


def frames_in(samples):
    """Number of whole frames."""
    return max(0, (samples - WINDOW) // HOP + 1)


def bank(warp=1.0, rate=16000):
    """Band weights `[80, 257]`; `warp` multiplies the band edges (a value above 1 makes formants look lower)."""
    edges = np.linspace(1127 * math.log(1 + LOW_HZ / 700), 1127 * math.log(1 + HIGH_HZ / 700), BANDS + 2)
    edges = 700 * (np.exp(edges / 1127) - 1) * warp
    bins = np.arange(FFT // 2 + 1) * rate / FFT
    weights = np.zeros((BANDS, len(bins)))
    for band in range(BANDS):
        low, mid, high = edges[band : band + 3]
        triangle = np.maximum(0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
        if triangle.sum() <= 0:
            triangle[min(round(mid * FFT / rate), len(bins) - 1)] = 1
        weights[band] = triangle / triangle.sum()
    return weights


BANK = torch.tensor(bank(), dtype=torch.float32)
HANN = torch.tensor(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW), dtype=torch.float32)


def power(audio):
    """Power spectra `[batch, frames, 257]` of `[batch, samples]`."""
    emphasised = torch.cat([audio[:, :1], audio[:, 1:] - 0.97 * audio[:, :-1]], 1)
    return torch.fft.rfft(emphasised.unfold(1, WINDOW, HOP) * HANN, FFT).abs().square()


def normalise(mel_power):
    """Log and scaling of band powers."""
    return (torch.log(mel_power + FLOOR) + SHIFT) / SCALE


def mel(audio):
    """Network input `[batch, frames, 80]`."""
    return normalise(power(audio) @ BANK.T)
