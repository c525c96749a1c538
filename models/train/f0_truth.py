"""Sounds whose F0 is known exactly, 16 kHz: notes that are sung, and speech that is said again with a contour of our own.

A sound is a train of band-limited pulses and noise through a filter that changes every 5 ms. The filter is a vowel's, or
that of a recording; the pulses follow the contour exactly, so the truth is no other tracker's opinion.
"""

from dataclasses import dataclass

import numpy as np

RATE = 16000
HOP = 80  # samples per frame of a filter: 5 ms
FFT = 1024
BINS = np.fft.rfftfreq(FFT, 1 / RATE)
VOWELS = np.array([[730, 1090, 2440, 3400], [530, 1840, 2480, 3500], [270, 2290, 3010, 3700], [570, 840, 2410, 3300],
                   [300, 870, 2240, 3300], [500, 1500, 2500, 3500]], float)  # fmt: skip
DISTURBANCES = ("clean", "noise", "reverb", "bleed", "creak")


@dataclass
class Truth:
    """Audio and, for every 10 ms from sample 0, its F0 in Hz (0 = unvoiced). `known` is false where the voicing is open:
    at its edges, in fades and in reverberation."""

    audio: np.ndarray
    f0: np.ndarray
    known: np.ndarray


def smooth(values, length):
    """Mean over a Hann window; the ends repeat."""
    window = np.hanning(length + 2)[1:-1]
    padded = np.pad(values, (length // 2, length - 1 - length // 2), "edge")
    return np.convolve(padded, window / window.sum(), "valid")


def pulses(f0, cycles=None, first=1):
    """Pulses of equal harmonics from the `first` to 7.4 kHz that follow `f0` (Hz per sample). `cycles(n)` gives strength and lateness (in
    periods) of cycle `n`."""
    phase = np.cumsum(f0) / RATE
    gain = 1.0
    if cycles is not None:
        strength, late = cycles(int(phase[-1]) + 3)
        place = phase - 0.5  # the pulse is at whole numbers; what belongs to it reaches half a period to each side
        gain = np.interp(phase, np.arange(len(strength)), strength)
        phase = phase + np.interp(place, np.arange(len(late)) - 0.5, late)
    # The sum of cos(k x) over the whole harmonics below the limit in closed form, and the next one by its share.
    count = 7400 / f0
    whole, turn = np.floor(count), 2 * np.pi * (phase % 1)
    sine = np.sin(turn / 2)
    ratio = np.where(np.abs(sine) > 1e-6, np.sin((whole + 0.5) * turn) / np.where(np.abs(sine) > 1e-6, sine, 1), 2 * whole + 1)
    out = ratio / 2 - 0.5 + (count - whole) * np.cos((whole + 1) * turn)
    if first > 1:
        out -= np.cos(turn)
    return gain * out * np.sqrt(f0 / 100)


def through(excitation, log_power):
    """Filters by log power spectra `[frames, FFT / 2 + 1]`, one per `HOP`, minimum phase, overlapped."""
    frames = len(log_power)
    cepstra = np.fft.irfft(log_power / 2, axis=1)
    cepstra[:, 1 : FFT // 2] *= 2
    cepstra[:, FFT // 2 + 1 :] = 0
    response = np.exp(np.fft.rfft(cepstra, axis=1))
    window = np.hanning(4 * HOP + 1)[:-1] / 2
    padded = np.pad(excitation, (2 * HOP, FFT))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, 4 * HOP)[::HOP][:frames] * window
    grains = np.fft.irfft(np.fft.rfft(pieces, FFT) * response)
    out = np.zeros(frames * HOP + 2 * FFT)
    for n, grain in enumerate(grains):
        out[n * HOP : n * HOP + FFT] += grain
    return out[2 * HOP : 2 * HOP + len(excitation)]


def vowel(rng, f0, peaky=False):
    """Log power of a sung vowel that changes slowly. On high notes the first formant mostly goes up with the note; some
    voices are thin below a corner, as on a telephone."""
    frames = len(f0) // HOP + 1
    stretch = rng.uniform(0.9, 1.25)
    path = smooth(np.repeat(rng.integers(0, len(VOWELS), 8), frames // 8 + 1)[:frames].astype(float), 31)
    low = np.minimum(path.astype(int), len(VOWELS) - 2)
    formants = (VOWELS[low] * (1 - (path - low))[:, None] + VOWELS[low + 1] * (path - low)[:, None]) * stretch
    hz = f0[:: HOP][:frames]
    hz = np.pad(hz, (0, frames - len(hz)), "edge")
    if rng.random() < 0.6:
        formants[:, 0] = np.maximum(formants[:, 0], 1.05 * hz)
    widths = np.array([70, 90, 140, 200]) * rng.uniform(0.5, 1.6)
    if rng.random() < 0.3 or peaky:  # formants side by side, peaks with little between them
        peaks = sum(1 / (1 + ((BINS - f) / w) ** 2) for f, w in zip(formants.T[:, :, None], widths))
        return 2 * np.log(peaks + 0.01) - rng.uniform(0.5, 1.5) * np.log(1 + (BINS / 200) ** 2)
    power = sum(np.log((f**2 + (w / 2) ** 2) ** 2 / (((BINS - f) ** 2 + (w / 2) ** 2) * ((BINS + f) ** 2 + (w / 2) ** 2)))
                for f, w in zip(formants.T[:, :, None], widths))  # fmt: skip
    tilt = -rng.uniform(0.6, 2.6) * np.log(1 + (BINS / rng.uniform(150, 600)) ** 2)
    if rng.random() < 0.25:
        tilt = tilt - np.log(1 + (rng.uniform(100, 700) / np.maximum(BINS, 20)) ** 4)
    return power + tilt


def notes(rng, low_hz, high_hz, seconds, kind, drifting=0.15):
    """A contour of one kind (held, vibrato, glide, steps) that stays between two frequencies, in Hz per sample."""
    time = np.arange(int(seconds * RATE)) / RATE
    low, high = 12 * np.log2(low_hz), 12 * np.log2(high_hz)
    note = rng.uniform(low, high)
    if kind == "steps":
        count = max(2, int(seconds / rng.uniform(0.25, 0.6)))
        steps = note + np.concatenate([[0], np.cumsum(rng.choice([-7, -5, -4, -2, 2, 3, 5, 7, 12, -12], count))])
        while (steps > high).any() or (steps < low).any():  # reflected at the ends of the range
            steps = np.where(steps > high, 2 * high - steps, np.where(steps < low, 2 * low - steps, steps))
            if high - low < 12:
                steps = np.clip(steps, low, high)
        line = np.repeat(steps, len(time) // count + 1)[: len(time)]
        line = smooth(line, int(rng.uniform(0.03, 0.09) * RATE))
    elif kind == "glide":
        other = np.clip(note + rng.choice([-1, 1]) * rng.uniform(5, 12), low, high)
        line = note + (other - note) * (0.5 - 0.5 * np.cos(np.pi * np.clip(time / seconds * 1.4 - 0.2, 0, 1)))
    else:
        line = np.full(len(time), note)
    if kind == "vibrato":
        depth = rng.uniform(0.3, 1.0) * np.clip(time / 0.3, 0, 1)
        line = line + depth * np.sin(2 * np.pi * rng.uniform(4.5, 7) * time)
    drift = smooth(rng.normal(0, 1, len(time) // HOP + 2), 41)
    line = line + drifting * np.interp(time * RATE / HOP, np.arange(len(drift)), drift)
    return 2 ** (line / 12)


def swell(rng, length, attack, release):
    gain = np.minimum(np.arange(length) / (attack * RATE), np.arange(length, 0, -1) / (release * RATE))
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(gain, 0, 1))


def frames_of(f0, gain, lowest=0.1):
    """F0 and whether it is known, per 10 ms, from values per sample: 15 ms about a change of voicing are open."""
    voiced = gain > lowest
    centres = np.arange(0, len(f0), 160)
    near = lambda values: np.stack([values[np.clip(centres + d, 0, len(f0) - 1)] for d in range(-240, 241, 40)])  # noqa: E731
    on, level = near(voiced), near(gain)
    known = (on.all(0) & (level.min(0) > 0.1)) | ~(on.any(0) | (level > 0.003).any(0))
    return np.where(voiced[centres], f0[centres], 0.0), known


def sung(rng, low_hz, high_hz, kind, seconds=2.0, creaky=False, thin=False, still=False):
    """One phrase of notes between silences. `thin` has no fundamental and narrow formants: one harmonic leads; `still`
    has equal cycles, as tuned voices nearly have."""
    f0 = notes(rng, low_hz, high_hz, seconds, kind, 0.0 if still else 0.15)
    gain = swell(rng, len(f0), rng.uniform(0.02, 0.08), rng.uniform(0.04, 0.15))
    wobble = smooth(rng.normal(0, 1, len(f0) // HOP + 2), 61)
    wobble *= rng.uniform(0.1, 0.8) / max(wobble.std(), 1e-3)
    if not still:
        gain = gain * np.exp(np.interp(np.arange(len(f0)) / HOP, np.arange(len(wobble)), wobble))
    quiet = int(0.25 * RATE)
    f0, gain = np.pad(f0, quiet, "edge"), np.pad(gain, quiet)
    first = 2 if high_hz < 900 and rng.random() < 0.15 else 1
    excitation = gain * pulses(f0, None if still else irregular(rng, creaky), 2 if thin else first)
    breath = gain * rng.normal(0, 1, len(f0)) * 10 ** (rng.uniform(-38, -18) / 20)
    high = np.diff(breath, prepend=0)
    audio = through(excitation + 3 * high, vowel(rng, f0, thin))
    relative = gain / gain.max()
    return Truth(level(audio), *frames_of(f0, relative, 0.03))


def irregular(rng, creaky):
    """Cycles that differ: hardly, or as in creak, some of it every other time."""
    jitter = rng.uniform(0.01, 0.035) if creaky else rng.uniform(0.0003, 0.0015)
    shimmer = rng.uniform(0.05, 0.2) if creaky else rng.uniform(0.005, 0.03)
    other = rng.uniform(0, 0.25) if creaky and rng.random() < 0.5 else 0.0

    def cycles(count):
        odd = np.arange(count) % 2
        return 1 + rng.normal(0, shimmer, count) - other * odd, rng.normal(0, jitter, count) + 0.06 * other * odd

    return cycles


def level(audio, rms=0.06):
    loud = audio[np.abs(audio) > 1e-4]
    return (audio * rms / max(float(np.sqrt(np.mean(loud**2))) if len(loud) else 0.0, 1e-6)).astype(np.float32)


def spectrum(audio):
    """Smooth log power spectra of a recording, one per `HOP`, and its F0 as a plain autocorrelation has it (0 =
    unvoiced). Good enough to speak again with; nothing takes this F0 for the truth."""
    frames = len(audio) // HOP + 1
    padded = np.pad(audio, (FFT // 2, FFT))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, 640)[FFT // 2 - 320 :: HOP][:frames] * np.hanning(640)
    power = np.abs(np.fft.rfft(pieces, 2 * FFT)) ** 2 + 1e-9
    correlation = np.fft.irfft(power * (np.fft.rfftfreq(2 * FFT, 1 / RATE) < 2000), axis=1)
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(640), 2 * FFT)) ** 2)
    lags = np.arange(RATE // 420, RATE // 65)
    normal = correlation[:, lags] / correlation[:, :1] / (window[lags] / window[0]) - 0.05 * np.log2(lags / lags[0])
    best = normal.argmax(1)
    energy = 10 * np.log10(power.mean(1))
    voiced = (normal[np.arange(frames), best] > 0.45) & (energy > np.percentile(energy, 95) - 35)
    f0 = np.where(voiced, RATE / lags[best], 0.0)
    cepstra = np.fft.irfft(np.log(np.abs(np.fft.rfft(pieces, FFT)) ** 2 + 1e-9), axis=1)
    quefrency = np.minimum(np.arange(FFT), FFT - np.arange(FFT))
    cut = np.where(f0 > 0, 0.55 * RATE / np.maximum(f0, 65), 48.0)[:, None]
    lifter = np.clip((cut - quefrency) / (0.3 * cut) + 1, 0, 1)
    return np.fft.rfft(cepstra * lifter, axis=1).real, f0


def said_again(rng, recording, octaves=0.0, creaky=False):
    """The recording with a smooth contour of its own shape, moved by `octaves`; `None` where it has no voice."""
    envelope, found = spectrum(recording)
    voiced = found > 0
    for length in (7, 7):  # holes and islands below 35 ms are the plain tracker's, not the voice's
        runs = np.convolve(voiced, np.ones(length), "same")
        voiced = runs > length / 2
    if voiced.sum() < 60:
        return None
    where = np.flatnonzero(voiced & (found > 0))
    contour = np.interp(np.arange(len(found)), where, np.log2(found[where]))
    middle = np.median(contour)
    contour = np.clip(contour, middle - 0.6, middle + 0.6)
    ranked = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(contour, 10, "edge"), 21), 1)
    contour = middle + rng.uniform(0.7, 1.2) * (smooth(ranked, 15) - middle) + octaves
    place = np.arange(len(recording)) / HOP
    f0 = np.clip(2 ** np.interp(place, np.arange(len(found)), contour), 42, 1500)
    share = np.interp(place, np.arange(len(found)), smooth(voiced.astype(float), 5))
    whisper = rng.uniform(-24, -12)
    air = rng.normal(0, 1, len(f0))
    air = np.diff(air, prepend=0) * 10 ** (whisper / 20) * share + air * (1 - share)
    pulse = pulses(f0, irregular(rng, creaky))
    audio = through(share * pulse / 8.5 + air, envelope)
    loudness = np.sqrt(smooth((audio[: len(audio) // 40 * 40].reshape(-1, 40) ** 2).mean(1), 9))
    loud = np.interp(np.arange(len(f0)) / 40, np.arange(len(loudness)), loudness)
    f0_frames, known = frames_of(f0, share, 0.5)  # a whisper of a voice is neither
    faint = loud[:: 160] < 0.03 * np.percentile(loudness, 95)
    return Truth(level(audio), f0_frames, known & ~(faint & (f0_frames > 0)))


def noise(rng, length):
    """White to brown, level 1."""
    spectrum_of = np.fft.rfft(rng.normal(0, 1, length))
    spectrum_of /= np.maximum(np.fft.rfftfreq(length, 1 / RATE), 40) ** rng.uniform(0, 1)
    out = np.fft.irfft(spectrum_of, length)
    return out / np.sqrt(np.mean(out**2))


def room(rng):
    """Impulse response: the sound itself and a decaying tail."""
    seconds = rng.uniform(0.2, 0.9)
    tail = rng.normal(0, 1, int(seconds * RATE)) * 10 ** (-3 * np.arange(int(seconds * RATE)) / (seconds * RATE))
    tail[: int(rng.uniform(0.003, 0.02) * RATE)] = 0
    response = np.zeros(len(tail))
    response[0] = 1
    return response + tail / np.sqrt(np.sum(tail**2)) * 10 ** (-rng.uniform(3, 14) / 20)


def backing(rng, length):
    """Chords and drums of a backing track, level 1."""
    out, position = np.zeros(length), 0
    root = rng.uniform(80, 160)
    while position < length:
        beat = int(rng.uniform(0.3, 0.6) * RATE)
        time = np.arange(min(beat, length - position)) / RATE
        chord = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9]) / 12)
        for step in rng.choice([[0, 4, 7], [0, 3, 7], [0, 7, 12]]):
            hz = chord * 2 ** (step / 12) * rng.choice([1, 2])
            for k in range(1, 12):
                out[position : position + len(time)] += np.sin(2 * np.pi * (k * hz * time + rng.random())) / k * np.exp(-2 * time)
        drum = rng.normal(0, 1, len(time)) * np.exp(-time * 40) * 2
        out[position : position + len(time)] += drum
        position += beat
    return out / np.sqrt(np.mean(out**2))


def disturb(rng, truth, kind):
    """The same sound with noise (5-30 dB below), in a room, or with bleed (12-30 dB below) of a backing track. In a room
    only voiced frames are known to be what they are."""
    audio, known = truth.audio.astype(float), truth.known
    loud = np.sqrt(np.mean(audio[np.abs(audio) > 0.003] ** 2))
    if kind == "noise":
        audio = audio + loud * 10 ** (-rng.uniform(5, 30) / 20) * noise(rng, len(audio))
    elif kind == "reverb":
        from scipy.signal import fftconvolve

        audio = fftconvolve(audio, room(rng))[: len(audio)]
        known = known & (truth.f0 > 0)
    elif kind == "bleed":
        audio = audio + loud * 10 ** (-rng.uniform(12, 30) / 20) * backing(rng, len(audio))
    return Truth(np.clip(audio, -1, 1).astype(np.float32), truth.f0, known)
