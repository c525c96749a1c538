"""Pairs for the refiner: recordings of a voice that Coffre converted to another voice and back, and the recordings.

What comes back has the same words at the same time in the same voice, so any difference is a conversion artefact. A chunk
is about a minute of one speaker that is not in the bank of the voice it is converted back to. It is converted without
refining.

Below the work folder, in `refine/`: `voices/` clones, `x/` chunks, `z/NAME.TIME.wav` what came back. What is there is
not made again; `part` and `parts` let several processes share the work.
"""

import json
import math
import random
import subprocess
from dataclasses import dataclass

import numpy as np
import soundfile

from .data import REPO, load_rows, training_rows
from .prepare import decode

RATE = 48000
GAP = np.zeros(RATE * 3 // 10, np.float32)
BANK_SECONDS = 600  # what the recipe of the embedded voices takes
# Speaker of an embedded voice, its file, and how many seconds of chunks.
EMBEDDED = (("kathleen", "quartz", 1500), ("nathalie", "celadon", 1300), ("flemishguy", "basalt", 1300), ("kerstin", "ochre", 800))
INVENTED = ("onyx", "topaz", "garnet", "opal")
CLONED = (
    "fdm_stephanie fdm_margot fdm_christiane_jehanne fdm_mailys fdm_gaelle_gosselin fdm_linda_olsen_fitak fdm_sandra_schmit "
    "fdm_yasminehaggag so_9609 so_8002 so_9634 so_9623 so_9626 so_9601 so_9619 so_9615 so_9622 so_9614"
).split()
MANY_SECONDS, ADULT = 45, 18  # of everybody else's recordings, half for the voice and half for the chunk
TUNING = ("ls_19",)  # constants of the engine are chosen by it


@dataclass(frozen=True)
class Chunk:
    """About a minute of a speaker, and the name of the voice that is the speaker's own."""

    name: str
    rows: list
    voice: str


@dataclass(frozen=True)
class Plan:
    """What is converted, the manifest rows of every clone, and the voices of the first way."""

    chunks: list
    clones: dict
    legs: list


def seconds_of(row):
    return row["end_s"] - row["start_s"]


def spread(rows, seconds):
    """Rows at even distances whose length sums to about `seconds`; `voices.rs` chooses a bank's the same way."""
    share = min(seconds / sum(map(seconds_of, rows)), 1)
    count = min(max(math.ceil(len(rows) * share), 1), len(rows))
    return [rows[n * len(rows) // count] for n in range(count)]


def chunks_of(speaker, voice, rows, seconds, limit):
    """Chunks of a little over `seconds`, until they hold more than `limit`; a shorter rest is left out."""
    found, now, length, total = [], [], 0.0, 0.0
    for row in rows:
        now.append(row)
        length += seconds_of(row) + len(GAP) / RATE
        if length > seconds:
            found.append(Chunk(f"{speaker}-{len(found)}", now, voice))
            total += length
            now, length = [], 0.0
            if total > limit:
                break
    return found


def halves(row):
    """The two halves of a recording, as manifest rows."""
    middle = (row["start_s"] + row["end_s"]) / 2
    return row | {"end_s": middle}, row | {"start_s": middle}


def chunks_of_many(usable, readers):
    """Chunks and clones of every adult who is not in the first plan, so that the refiner meets many voices: a minute and a
    half of each learner of English, and of each reader one recording, whose halves serve each other as voices."""
    chunks, clones = [], {}
    adults = [row for row in usable if row["corpus"] == "speechocean762" and (row["age"] or 0) >= ADULT]
    for speaker in sorted({row["speaker"] for row in adults} - set(CLONED)):
        own = [row for row in adults if row["speaker"] == speaker]
        clones[speaker] = own[::2]
        chunks += chunks_of(speaker, speaker, spread(own[1::2], 1.2 * MANY_SECONDS), MANY_SECONDS * 2 // 3, MANY_SECONDS // 2)
    for row in {row["speaker"]: row for row in readers}.values():
        names = [f"{row['speaker']}{half}" for half in "ab"]
        for name, other, half in zip(names, reversed(names), halves(row)):
            clones[name] = [half]
            chunks.append(Chunk(f"{name}-0", [half], other))
    return chunks, clones


def plan(rows):
    """The fixed choice from all manifest `rows`: no held-out speaker, no reference, no row of the bank."""
    usable = [row for row in training_rows(rows) if row["speaker"] not in TUNING]
    chunks, clones = [], {}
    for speaker, voice, limit in EMBEDDED:
        own = [row for row in usable if row["speaker"] == speaker]
        banked = {row["row"] for row in spread(own, BANK_SECONDS)}
        rest = [row for row in own if row["row"] not in banked]
        chunks += chunks_of(speaker, voice, spread(rest, 1.05 * limit), 60, limit)
    for speaker in CLONED:
        own = [row for row in usable if row["speaker"] == speaker]
        clones[speaker] = spread(own[::2], 150)
        chunks += chunks_of(speaker, speaker, spread(own[1::2], 105), 50 if speaker.startswith("fdm") else 40, 95)
    readers = [row for row in usable if row["corpus"] == "librispeech" and seconds_of(row) > 12]
    by_sex = {sex: [row for row in readers if row["sex"] == sex] for sex in "mf"}
    single = {row["speaker"]: [row] for row in by_sex["m"][::8][:14] + by_sex["f"][::12][:8]}
    legs = [*single, *(voice for _, voice, _ in EMBEDDED), *INVENTED, *sorted(CLONED)]
    more, theirs = chunks_of_many(usable, readers)
    return Plan(chunks + more, clones | single | theirs, legs)


class Program:
    """The `coffre` program and the voices it converts to; `mark` keeps the files of several processes apart."""

    def __init__(self, coffre, speech, folder, clones, mark):
        self.coffre, self.speech, self.folder, self.clones, self.mark = coffre, speech, folder, clones, mark
        self.medians, self.decoded = {}, {}

    def run(self, *arguments):
        """Standard output; raises `RuntimeError` with the program's last line of complaint."""
        result = subprocess.run([str(part) for part in (self.coffre, *arguments)], capture_output=True, text=True)
        if result.returncode:
            complaint = result.stderr.strip().splitlines() or [f"status {result.returncode}"]
            raise RuntimeError(f"{arguments[0]}: {complaint[-1]}")
        return result.stdout

    def cut(self, rows):
        """Decoded audio of manifest rows, one after the other."""
        for row in rows:
            if row["file"] not in self.decoded:
                self.decoded = {row["file"]: decode(self.speech / row["file"], RATE)}  # rows of one file come together
            yield self.decoded[row["file"]][round(row["start_s"] * RATE) : round(row["end_s"] * RATE)]

    def voice(self, name):
        """Path of a voice; a clone that is not there yet is made."""
        path = voice_path(self.folder, name)
        if name in self.clones and not path.exists():
            wav, fresh = path.with_name(f"{name}.{self.mark}.wav"), path.with_name(f"{name}.{self.mark}.coffre")
            fresh.unlink(missing_ok=True)
            soundfile.write(wav, np.concatenate(list(self.cut(self.clones[name]))), RATE, subtype="FLOAT")
            ground = ["--consent", "licensed", "--statement", "Recordings published for speech technology"]
            self.run("clone", wav, "--name", name, "-o", fresh, "--quiet", "--no-preview", *ground)
            fresh.replace(path)
            wav.unlink()
        return path

    def median(self, name):
        """Median F0 of a voice in Hz."""
        if name not in self.medians:
            self.medians[name] = json.loads(self.run("inspect", self.voice(name), "--json"))["median_f0_hz"]
        return self.medians[name]

    def convert(self, source, output, voice, transpose, likeness):
        options = ["--mode", "mix", "--no-watermark", "--gate", "-100", "--unrefined", "--quiet"]
        wanted = ["--voice", self.voice(voice), "--transpose", transpose, "--likeness", likeness]
        Path(output).unlink(missing_ok=True)
        self.run("convert", source, "-o", output, *wanted, *options)


def voice_path(folder, name):
    """An embedded voice, or a clone in the work folder."""
    is_embedded = name in INVENTED or any(name == voice for _, voice, _ in EMBEDDED)
    return (REPO / "models" if is_embedded else folder) / "voices" / f"{name}.coffre"


def with_noise(audio, rng, seed):
    """In 15 % of the cases under coloured noise, 28 to 45 dB below."""
    if rng.random() >= 0.15:
        return audio
    ratio, rms = rng.uniform(28, 45), np.sqrt((audio**2).mean())
    noise = np.random.default_rng(seed).normal(size=len(audio))
    noise = np.convolve(noise, [1, rng.uniform(-0.5, 0.9)])[: len(audio)]
    return audio + (noise / noise.std() * rms * 10 ** (-ratio / 20)).astype(np.float32)


def there_and_back(program, number, chunk, legs, time):
    """Convert a chunk to another voice, wholly, and back as a user might; both ways by whole semitones."""
    target = program.folder / "z" / f"{chunk.name}.{time}.wav"
    if target.exists():
        return
    clean = program.folder / "x" / f"{chunk.name}.wav"
    if not clean.exists():
        audio = np.concatenate([part for piece in program.cut(chunk.rows) for part in (piece, GAP)])
        fresh = clean.with_suffix(f".{program.mark}.tmp")
        soundfile.write(fresh, audio, RATE, subtype="FLOAT", format="WAV")
        fresh.replace(clean)
    rng = random.Random(1000 * time + number)
    leg = rng.choice([voice for voice in legs if voice != chunk.voice])
    shift = round(12 * math.log2(program.median(leg) / program.median(chunk.voice)))
    shift = max(-12, min(12, shift))
    heard, away, back = (program.folder / f"{name}.{program.mark}.wav" for name in ("heard", "away", "back"))
    audio = soundfile.read(clean, dtype="float32")[0]
    soundfile.write(heard, with_noise(audio, rng, number), RATE, subtype="FLOAT")
    program.convert(heard, away, leg, shift, 100)
    program.convert(away, back, chunk.voice, -shift, rng.choice([60, 60, 80, 100, 100]))
    back.replace(target)
    print(f"refine-pairs: {target.name} by {leg}, {shift} semitones", flush=True)


def run(speech, work, coffre, part=0, parts=1, times=1):
    """Make the pairs of every chunk `times` times, each time through another voice; one that fails does not end it."""
    chosen, folder = plan(load_rows(speech)), work / "refine"
    for name in ("voices", "x", "z"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    program = Program(coffre, speech, folder, chosen.clones, f"part{part}")
    order = list(enumerate(chosen.chunks))
    random.Random(3).shuffle(order)
    failed = 0
    for number, chunk in order:
        for time in range(times if number % parts == part else 0):
            try:
                there_and_back(program, number, chunk, chosen.legs, time)
            except RuntimeError as error:
                failed += 1
                print(f"refine-pairs: {chunk.name}.{time} failed, {error}", flush=True)
    if failed:
        raise SystemExit(f"refine-pairs {part}: {failed} pairs failed; the same command tries them again")
    print(f"refine-pairs {part}: finished")
