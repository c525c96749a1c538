"""Conversions to make and to measure: what the tables of song, knob and clones have in common."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from . import convert, instruments, sources


@dataclass
class Job:
    """One conversion. `voice` is its name in the table, `file` what the program is given, if that differs. Without
    `semitones` the program's own register in octaves is used, and what it moved by is heard in the output."""

    mode: str
    source: instruments.Source
    voice: str
    person: instruments.Person
    semitones: int | None
    options: list = field(default_factory=list)
    is_sung: bool = False
    file: Path | None = None
    profile: Path | None = None


def octave_word(coffre):
    """What `--transpose` calls a register in octaves, as the program's help says; `None` where it has none."""
    said = subprocess.run([str(coffre), "convert", "--help"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"--transpose <[^>]*?(octaves?)\b", said)
    return found and found.group(1)


def in_key(source_hz, target_hz):
    """Whole octaves, in semitones."""
    return 12 * round(np.log2(target_hz / source_hz))


def out_of_key(source_hz, target_hz):
    return round(12 * np.log2(target_hz / source_hz))


def render(coffre, folder, job):
    """The output at 16 kHz, or the program's complaint."""
    given, made = folder / "sounds" / f"{job.source.name}.wav", folder / "sounds" / f"{name(job)}.wav"
    given.parent.mkdir(parents=True, exist_ok=True)
    if not given.exists():
        convert.write(given, job.source.audio)
    if not made.exists():
        moved = octave_word(coffre) if job.semitones is None else job.semitones
        command = [coffre, "convert", given, "-o", made, "--voice", job.file or job.voice, "--transpose", moved]
        command += [] if "--mode" in job.options else ["--mode", "mix"]
        command += ["--profile", job.profile] if job.profile else []
        result = subprocess.run([str(part) for part in command + job.options], capture_output=True, text=True)
        if result.returncode or not made.exists():
            return (result.stderr.strip().splitlines() or ["no output"])[-1]
    audio, rate = soundfile.read(made, dtype="float32")
    return sources.resample(audio, rate)


def name(job):
    return re.sub(r"[^\w.-]+", "-", f"{job.source.name}.{job.voice}.{job.mode}")


def run(coffre, folder, judge, results, jobs):
    """Make and measure what is not in the results yet; outputs stay in `sounds`."""
    for number, job in enumerate(jobs):
        if results.has(job.mode, job.source.name, job.voice):
            continue
        output = render(coffre, folder, job)
        if isinstance(output, str):
            results.add(job.mode, job.source.name, job.voice, group=job.source.group, refused=1.0, why=output)
            continue
        known, semitones = job.source.heard(judge), job.semitones
        if semitones is None:
            semitones = in_key(known["median"], judge.pitch.median([output]))
        row = instruments.measured(judge, output, job.source, job.person, semitones, job.is_sung)
        results.add(job.mode, job.source.name, job.voice, refused=0.0, **row)
        print(f"{results.table} {number + 1}/{len(jobs)}: {job.mode}, {job.source.name} to {job.voice}", flush=True)
