"""All measures of one conversion, against a source and a person who is aimed at.

A speaker embedding hears pitch: a person's own speech on a melody an octave up keeps half of the likeness to the same
person's speech. So what is sung is compared with the person's own speech on a melody at the pitch of the output (1 = the
person at this pitch), and by the way with plain speech.
"""

import json
from dataclasses import dataclass, field

import numpy as np

from . import fine, measure, melody
from .phones import Phones
from .xvector import XVector

KINDS = ("", "x_")  # resemblyzer, x-vector
STRETCH = 1.4  # of the vowels of what is sung


class Instruments:
    """Loaded once. `texts` are all that words are counted of."""

    def __init__(self, texts=()):
        self.pitch, self.phones = measure.Pitch(), Phones()
        self.words = measure.Words(texts) if texts else None
        self.embedders = dict(zip(KINDS, (measure.Similarity(), XVector())))

    def embed(self, audio):
        return {kind: unit(one.embed(audio)) for kind, one in self.embedders.items()}


def unit(vector):
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


@dataclass
class Source:
    """What is converted, and what is known of it. `at` is its F0 by SwiftF0."""

    name: str
    audio: np.ndarray
    text: str | None = None
    group: str | None = None
    speaker: str | None = None
    known: dict = field(default_factory=dict)

    def heard(self, instruments):
        """Everything that is measured of the source alone, once."""
        if not self.known:
            self.known = {"embedded": instruments.embed(self.audio), "phones": instruments.phones.heard(self.audio)}
            times, f0 = instruments.pitch.timed(self.audio)
            self.known |= {"f0": f0, "median": float(np.median(f0[f0 > 0])), "ovr": measure.quality(self.audio)["ovr"]}
            self.known["fine"] = fine.refined(self.audio, times, f0)
            if self.text and instruments.words:
                self.known["errors"], _ = instruments.words.errors(self.audio, self.text)
        return self.known

    def moved(self, instruments, semitones):
        """Embeddings of the same performance at another pitch: the likeness that pitch alone brings."""
        if semitones == 0:
            return self.known["embedded"]
        if ("moved", semitones) not in self.known:
            self.known.setdefault("said", melody.Said(self.audio))
            self.known["moved", semitones] = instruments.embed(self.known["said"].moved(semitones))
        return self.known["moved", semitones]


class Person:
    """Somebody whose recordings the outputs are compared with. `kept` is a file that remembers the references."""

    def __init__(self, instruments, clips, kept):
        self.instruments, self.clips, self.kept, self.said = instruments, clips, kept, None
        self.known = json.loads(kept.read_text()) if kept.exists() else {}
        if "median" not in self.known:
            self.known["median"] = instruments.pitch.median(clips)
            self.keep("plain", clips)
        self.median = self.known["median"]

    def keep(self, name, clips):
        """The mean embedding of the clips, and the cosine of each to the mean of the others."""
        embedded = [self.instruments.embed(audio) for audio in clips]
        found = {}
        for kind in KINDS:
            every = np.array([one[kind] for one in embedded])
            own = np.mean([one @ unit(np.delete(every, n, 0).mean(0)) for n, one in enumerate(every)])
            found[kind] = [unit(every.mean(0)).tolist(), float(own)]
        self.known[name] = found
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.kept.write_text(json.dumps(self.known))

    def plain(self):
        return self.known["plain"]

    def singing(self, hz):
        """Their own speech on melodies about `hz`, to the nearest whole tone."""
        semitone = 2 * round(6 * np.log2(hz / 110))
        name = str(semitone)
        if name not in self.known:
            self.said = self.said or [melody.Said(audio) for audio in self.clips]
            self.keep(name, [one.sung(n, 110 * 2 ** (semitone / 12)) for n, one in enumerate(self.said)])
        return self.known[name]


def cosines(kind, embedded, source, reference):
    """The four numbers of a similarity. `kind` begins their names."""
    centre, own = np.array(reference[0]), reference[1]
    found = {"target": embedded @ centre, "source_target": source @ centre, "target_target": own, "source": embedded @ source}
    return {kind + name: round(float(number), 4) for name, number in found.items()}


def likeness(instruments, output, source, person, semitones, is_sung):
    """Similarities by both instruments; sung, at the pitch of the output too."""
    track, embedded, known = instruments.pitch.track(output), instruments.embed(output), source.known["embedded"]
    voiced, row = track[track > 0], {}
    hz = float(np.median(voiced)) if len(voiced) else source.known["median"] * 2 ** (semitones / 12)
    reference = person.singing(hz) if is_sung else person.plain()
    for kind in KINDS:
        row |= cosines(kind, embedded[kind], known[kind], reference[kind])
        row[f"{kind}closer"] = float(row[f"{kind}target"] > row[f"{kind}source"])
    if is_sung:
        row |= cosines("plain_", embedded[""], known[""], person.plain()[""])
        row |= cosines("moved_", embedded[""], source.moved(instruments, semitones)[""], reference[""])
    return row | {"hz": round(hz, 1)}


def measured(instruments, output, source, person, semitones, is_sung=False):
    """The row of one output at 16 kHz, which was asked to move by so many semitones."""
    known = source.heard(instruments)
    row = likeness(instruments, output, source, person, semitones, is_sung) | {"semitones": semitones, "group": source.group}
    row |= {"ovr": measure.quality(output)["ovr"], "source_ovr": known["ovr"]}
    row["phone_errors"], row["phones"] = instruments.phones.errors(known["phones"], output)
    if source.text and instruments.words:
        row["errors"], row["words"] = instruments.words.errors(output, source.text)
        row["source_errors"] = known["errors"]
    times, f0 = instruments.pitch.timed(output)
    off = measure.pitch_error(known["fine"] * 2 ** (semitones / 12), fine.refined(output, times, f0))
    row |= {"cents": off["cents"], "gross": off["gross"], "voicing": off["voicing"]}
    return row | {"loudness": measure.loudness_error(source.audio, output)}
