"""Runs the `coffre` program: one call per clip, voice and mode."""

import subprocess

import soundfile

from .sources import RATE, resample

MODES = {
    "pitch shift only": ["--voice", "none", "--likeness", "0"],  # skipped when the program has no voice `none`
    "likeness 0": ["--likeness", "0"],
    "default, singer not learned": ["--no-profile"],
    "default, live": ["--mode", "live"],
    "default": [],
    "likeness 100": ["--likeness", "100"],
}


def learn(coffre, recording, profile, voice):
    """Write the profile of the singer in `recording`; `None` when the program refused."""
    profile.with_suffix(".wav").unlink(missing_ok=True)
    command = [str(coffre), "convert", str(recording), "-o", str(profile.with_suffix(".wav")), "--voice", voice]
    result = subprocess.run(command + ["--save-profile", str(profile)], capture_output=True, text=True)
    return profile if result.returncode == 0 and profile.exists() else None


def convert(coffre, source, output, voice, mode, transpose, profile=None):
    """Convert the file `source` to `output`; returns the audio at 16 kHz, or `None` when the program refused."""
    options = list(MODES[mode])
    if "--voice" not in options:
        options += ["--voice", voice]
    if "--mode" not in options:
        options += ["--mode", "mix"]
    output.unlink(missing_ok=True)
    command = [str(coffre), "convert", str(source), "-o", str(output), "--transpose", str(transpose)]
    if profile and "--no-profile" not in options:
        options += ["--profile", str(profile)]
    result = subprocess.run(command + options, capture_output=True, text=True)
    if result.returncode or not output.exists():
        lines = result.stderr.strip().splitlines()
        print(f"{mode}, {voice}: {lines[-1] if lines else 'no output'}", flush=True)
        return None
    audio, rate = soundfile.read(output, dtype="float32")
    return resample(audio, rate)


def write(path, audio):
    """Write a source clip as 16-bit WAV."""
    soundfile.write(path, audio, RATE, subtype="PCM_16")
