"""Speech said again on a melody, words and all: notes of a scale with vibrato and glides, vowels held.

The sound is taken apart and put together again by WORLD (Morise et al. 2016, "WORLD: a vocoder-based high-quality speech
synthesis system"; package `pyworld`). Two uses: sources to convert that have words and are sung, and the target's own speech
at the pitch of an output, because a speaker embedding hears pitch.
"""

import sys
import types

import numpy as np

if "pkg_resources" not in sys.modules:  # pyworld asks it for its own version only, and newer setuptools dropped it
    sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
    sys.modules["pkg_resources"].get_distribution = lambda name: types.SimpleNamespace(version="0.3.5")

import pyworld  # noqa: E402

RATE = 16000
FRAME = 0.005  # seconds
SCALE = np.array([-5, -3, -1, 0, 2, 4, 5, 7])  # of a major scale, in semitones about its first note


def contour(rng, frames):
    """Semitones about the centre, one value a frame; its median is 0. Notes of 0.25 to 0.9 s on a scale, glides between
    them, every fifth of them slow, and vibrato on long notes from a fifth of a second on."""
    line, vibrato, at, note = np.zeros(frames), np.zeros(frames), 0, 3
    while at < frames:
        length = int(rng.uniform(0.25, 0.9) / FRAME)
        end, before = min(at + length, frames), SCALE[note]
        note = int(np.clip(note + rng.choice([-2, -1, 1, 2]), 0, len(SCALE) - 1))
        glide = min(int((0.3 if rng.random() < 0.2 else 0.07) / FRAME), end - at)
        line[at:end] = SCALE[note]
        line[at : at + glide] = before + (SCALE[note] - before) * (0.5 - 0.5 * np.cos(np.pi * np.arange(glide) / glide))
        late = at + int(0.2 / FRAME)
        if end - at > 0.4 / FRAME:
            time = np.arange(end - late) * FRAME
            depth = rng.uniform(0.25, 0.7) * np.clip(time / 0.15, 0, 1) * np.clip(time[::-1] / 0.08, 0, 1)
            vibrato[late:end] = depth * np.sin(2 * np.pi * rng.uniform(4.8, 6.5) * time)
        at = end
    return line + vibrato


class Said:
    """A recording taken apart, to be said again at any pitch."""

    def __init__(self, audio):
        sound = np.asarray(audio, float)
        f0, times = pyworld.harvest(sound, RATE, f0_floor=60, f0_ceil=700, frame_period=1000 * FRAME)
        self.f0 = pyworld.stonemask(sound, f0, times, RATE)
        self.spectrum = pyworld.cheaptrick(sound, self.f0, times, RATE)
        self.noise = pyworld.d4c(sound, self.f0, times, RATE)
        self.level = float(np.sqrt(np.mean(sound**2)))

    def again(self, f0, place=None):
        """With another F0 in Hz a frame, 0 = unvoiced; `place` says which frame of the recording each one is."""
        near = np.arange(len(f0)) if place is None else np.clip(np.round(place).astype(int), 0, len(self.f0) - 1)
        spectrum, noise = (np.ascontiguousarray(of[near]) for of in (self.spectrum, self.noise))
        out = pyworld.synthesize(np.ascontiguousarray(f0, dtype=float), spectrum, noise, RATE, 1000 * FRAME)
        out *= self.level / max(float(np.sqrt(np.mean(out**2))), 1e-6)
        return np.clip(out, -0.99, 0.99).astype(np.float32)

    def moved(self, semitones):
        """The same performance at another pitch."""
        return self.again(self.f0 * 2 ** (semitones / 12))

    def sung(self, seed, centre, stretch=1.0):
        """On a melody whose median is `centre` Hz; voiced frames `stretch` times as long."""
        voiced = np.convolve(self.f0 > 0, np.ones(9) / 9, "same")
        lengths = 1 + (stretch - 1) * voiced
        ends = np.cumsum(lengths)
        place = np.interp(np.arange(int(ends[-1])), ends - lengths / 2, np.arange(len(ends)))
        is_voiced = self.f0[np.clip(np.round(place).astype(int), 0, len(self.f0) - 1)] > 0
        line = contour(np.random.default_rng(seed), len(place))
        line -= np.median(line[is_voiced]) if is_voiced.any() else 0
        return self.again(np.where(is_voiced, centre * 2 ** (line / 12), 0), place)
