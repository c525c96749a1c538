"""Real conversions to learn from: training speakers' recordings in the voices of others, unrefined.

Two sets: everybody to the four voices of people (`cross/` below the work folder), and everybody to clones of other training
speakers (`cross-any/`). Files are `SPEAKER.wav` (in `cross/` only), `voices/VOICE.coffre` and `SPEAKER.VOICE.wav`; a conversion
that is there is not made again.
"""

import math
import random
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
import torch

from . import refine
from . import refine_net as net
from .data import RATE, AudioStore, load_rows, training_rows
from .refine_pairs import EMBEDDED, TUNING, Program, seconds_of, voice_path

VOICES = {voice: speaker for speaker, voice, _ in EMBEDDED}
LEAST_SECONDS, SECONDS, MOST_SECONDS = 6, 14, 20
CLONE_SECONDS = (8, 15, 30, 60)  # one of them is what a clone is made from, if there is so much
ROUNDS, FIRST, FURTHER = 2, 17, 101  # who is converted to whom: so many places further on, in each round
LARGEST = 14  # semitones of transposition
CUTS, LENGTH = 8, refine.FRAMES * net.HOP
LEVEL = 0.06
LIKENESS = (60, 60, 100)


def singers(speech):
    """Rows of each speaker that may be trained on and is not a voice, in a fixed order of the speakers."""
    rows = [row for row in training_rows(load_rows(speech)) if row["speaker"] not in (*TUNING, *VOICES.values())]
    found = {}
    for row in rows:
        found.setdefault(row["speaker"], []).append(row)
    order = sorted(found)
    random.Random(1).shuffle(order)
    return {speaker: found[speaker] for speaker in order}


def usual_shift(source, target):
    """Whole semitones from one median F0 to another, as a user might set them."""
    return max(-LARGEST, min(LARGEST, round(12 * math.log2(target / source))))


def recording(folder, store, pitch, speaker, rows, rate=RATE):
    """Write about a quarter of a minute of `speaker` at `rate` Hz; its median F0, or `None` where there is too little."""
    lengths = np.cumsum([seconds_of(row) for row in rows])
    rows = rows[: int(np.searchsorted(lengths, SECONDS)) + 1]
    audio = np.concatenate([store.audio(row["row"]) for row in rows])[: MOST_SECONDS * RATE]
    track = pitch.track(audio)
    if len(audio) < LEAST_SECONDS * RATE or (track > 0).sum() < 30:
        return None
    audio = audio if rate == RATE else soxr.resample(audio, RATE, rate)
    soundfile.write(folder / f"{speaker}.wav", audio, rate, subtype="PCM_16")
    return float(np.median(track[track > 0]))


def convert(speech, work, coffre):
    """Each LibriSpeech reader to all four voices, everybody else to two."""
    from eval.measure import Pitch

    folder, store, pitch, rng = work / "cross", AudioStore(work), Pitch(), random.Random(7)
    folder.mkdir(exist_ok=True)
    program = Program(coffre, speech, work / "refine", {}, "cross")
    for speaker, rows in singers(speech).items():
        rng.shuffle(rows)
        order = sorted(VOICES)
        names, likeness = rng.sample(order, len(order)), [rng.choice(LIKENESS) for _ in order]
        median = recording(folder, store, pitch, speaker, rows)
        count = 4 if rows[0]["corpus"] == "librispeech" else 2
        for voice, like in list(zip(names, likeness))[: count if median else 0]:
            made(program, folder / f"{speaker}.wav", folder, speaker, voice, median, like)


def made(program, source, folder, speaker, voice, median, likeness):
    """Convert `source`, which `speaker` sings at a `median` F0, unless that was done before."""
    target, fresh = folder / f"{speaker}.{voice}.wav", folder / f"fresh-{program.mark}.wav"  # one dot: no conversion yet
    if not target.exists():
        program.convert(source, fresh, voice, usual_shift(median, program.median(voice)), likeness)
        fresh.replace(target)
        print(f"refine-cross: {target.name}", flush=True)


def convert_any(speech, work, coffre):
    """Everybody to clones of two others, made from 8 to 60 seconds. Needs the recordings that `convert` wrote."""
    from eval.measure import Pitch

    folder, pitch, rng = work / "cross-any", Pitch(), random.Random(11)
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    everybody = singers(speech)
    clones = {}
    for name, rows in everybody.items():
        rng.shuffle(rows)
        clones[name] = first_seconds(rows, rng.choice(CLONE_SECONDS))
    program = Program(coffre, speech, folder, clones, "any")
    sources = {name: work / "cross" / f"{name}.wav" for name in everybody}
    names = [name for name in everybody if sources[name].exists()]
    tracks = [pitch.track(soundfile.read(sources[name], dtype="float32")[0]) for name in names]
    medians = [float(np.median(track[track > 0])) for track in tracks]
    for further in range(ROUNDS):
        for number, speaker in enumerate(names):
            voice = names[(number + FIRST + FURTHER * further) % len(names)]
            like = rng.choice(LIKENESS)
            try:
                made(program, sources[speaker], folder, speaker, voice, medians[number], like)
            except RuntimeError as error:
                print(f"refine-cross: {speaker} to {voice} left out, {error}", flush=True)


def first_seconds(rows, seconds):
    """Rows of `seconds` in all, the last one cut."""
    found, left = [], seconds
    for row in rows:
        found.append(row | {"end_s": min(row["end_s"], row["start_s"] + left)})
        left -= seconds_of(found[-1])
        if left < 1:
            break
    return found


@dataclass(frozen=True)
class Target:
    """A voice that is aimed at: what the refiner is told of it `[128]`, and the person's recordings, one after the other."""

    described: torch.Tensor
    recordings: torch.Tensor


class Crossing:
    """Conversions as `(converted, recording, number of the target)`."""

    def __init__(self, speech, work, is_any):
        folder, store = work / ("cross-any" if is_any else "cross"), AudioStore(work)
        rows = training_rows(load_rows(speech))
        self.conversions, self.targets, numbers = [], [], {}
        for path in sorted(folder.glob("*.*.wav")):
            speaker, voice = path.stem.rsplit(".", 1)
            if voice not in numbers:
                own = [store.audio(row["row"]) for row in rows if row["speaker"] == VOICES.get(voice, voice)]
                described = torch.from_numpy(net.voice_values(voice_path(folder, voice)))
                numbers[voice] = len(self.targets)
                self.targets.append(Target(described, torch.from_numpy(np.concatenate(own))))
            both = [soundfile.read(p, dtype="float32")[0] for p in (path, work / "cross" / f"{speaker}.wav")]
            common = min(map(len, both))
            converted, said = (torch.from_numpy(audio[:common]) for audio in both)
            converted = converted * (LEVEL / converted.square().mean().sqrt().clamp(min=1e-4))
            self.conversions.append((converted, said, numbers[voice]))
        if len(self.conversions) < 8:
            raise SystemExit(f"refine-cross: {len(self.conversions)} conversions in {folder}; too few to learn from")
        self.kept = self.conversions[7::25]
        self.conversions = [one for number, one in enumerate(self.conversions) if number % 25 != 7]
        self.described = torch.stack([target.described for target in self.targets])

    def cut(self, rng, number):
        """Three seconds of the person behind a voice."""
        real = self.targets[number].recordings
        start = rng.randrange(len(real) - LENGTH)
        return real[start : start + LENGTH]

    def batch(self, rng):
        """Cuts of 3 s: converted, the singer's recording, the voice's number, and as much of the voice's own."""
        rows = []
        for _ in range(CUTS):
            converted, said, voice = rng.choice(self.conversions)
            start = rng.randrange(len(converted) - LENGTH)
            heard = converted[start : start + LENGTH] * 10 ** rng.uniform(-0.4, 0.3)
            own = self.cut(rng, voice) * 10 ** rng.uniform(-0.4, 0.3)
            rows.append((heard, said[start : start + LENGTH], torch.tensor(voice), own))
        return [torch.stack(part) for part in zip(*rows)]
