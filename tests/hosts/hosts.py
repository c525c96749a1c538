"""What the tests of all hosts share: the bundle, the command, signals, block lengths, saved states.

`cargo xtask test` names the bundle and the command in the environment; without them the tests are skipped.
"""

import functools
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

HERE = Path(__file__).resolve().parent
CLIP = HERE.parent / "data" / "vocal.flac"

RATES = (44_100, 48_000, 96_000)
BLOCKS = (1, 17, 64, 441, 512, 1024, 4096)

# Blocks at which a singer can monitor; a host with longer ones adds their length to every path, ours included.
LIVE_BLOCKS = tuple(block for block in BLOCKS if block <= 512)

LIVE_LIMIT_MS = 60.0
MIX_LIMIT_MS = 300.0
SILENCE_DBFS = -70.0

# The plugin's ramps of mix and gains, in seconds.
RAMP_S = 0.01


def from_environment(name: str) -> str:
    """A path that `cargo xtask test` names; skips the whole file without it."""
    path = os.environ.get(name, "")
    if not path or not Path(path).exists():
        pytest.skip(f"the variable {name} names nothing: run `cargo xtask test`", allow_module_level=True)
    return str(Path(path).resolve())


@functools.cache
def vocal(rate: int, seconds: float = 1.5, channels: int = 2) -> np.ndarray:
    """Speech, `[channels, samples]`; the channels differ. Straight lines between samples are good enough a resampling."""
    clip, clip_rate = soundfile.read(CLIP, dtype="float64")
    places = np.arange(int(rate * seconds)) * clip_rate / rate + 0.4 * clip_rate
    mono = np.interp(places, np.arange(len(clip)), clip)
    other = 0.6 * np.interp(places - 40, np.arange(len(clip)), clip)
    audio = np.stack([mono, other][:channels]).astype(np.float32)
    audio.setflags(write=False)
    return audio


def impulses(rate: int, seconds: float = 0.5) -> np.ndarray:
    """Single samples at uneven places, other ones per channel, silence between them."""
    audio = np.zeros((2, int(rate * seconds)), np.float32)
    audio[0, [0, 1_000, 1_001, 7_777]] = [0.9, 0.5, -0.7, 0.25]
    audio[1, [3, 5_000, audio.shape[1] - 1]] = [0.3, -1.0, 0.6]
    return audio


def random_partition(length: int, shortest: int, longest: int, seed: int) -> list[int]:
    """Block lengths that add up to `length`, the longest first; the last two share what is left."""
    random, sizes, left = np.random.default_rng(seed), [longest], length - longest
    while left >= 2 * shortest + longest:
        sizes.append(int(random.integers(shortest, longest + 1)))
        left -= sizes[-1]
    return [*sizes, left // 2, left - left // 2]


@functools.cache
def voices() -> list[str]:
    """The voices in the order of a new instance's slots, as the plugin and the command name them."""
    command = [from_environment("COFFRE_COMMAND"), "voices", "--json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [voice["name"] for voice in listed if voice["origin"] == "embedded"]


def converted(audio: np.ndarray, rate: int, *options: str, voice: str | None = None) -> np.ndarray:
    """What the `coffre` command makes of `audio`: in live mode, as a new plugin instance does. Floating point."""
    return _converted(audio.tobytes(), audio.shape, rate, voice or voices()[0], options)


@functools.cache
def _converted(samples: bytes, shape: tuple[int, int], rate: int, voice: str, options: tuple[str, ...]) -> np.ndarray:
    audio = np.frombuffer(samples, np.float32).reshape(shape)
    mode = () if "--mode" in options else ("--mode", "live")
    profile = () if "--profile" in options else ("--no-profile",)
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "in.wav", Path(folder) / "out.wav"
        soundfile.write(given, audio.T, rate, subtype="FLOAT")
        command = [from_environment("COFFRE_COMMAND"), "convert", given, "-o", result, "--voice", voice, "--quiet"]
        subprocess.run([*command, *mode, *profile, *options], check=True)
        return soundfile.read(result, dtype="float32", always_2d=True)[0].T


def assert_same(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Bit for bit (but for the sign of zero), with the place of the first difference if not."""
    assert found.shape == wanted.shape, f"{what}: {found.shape} instead of {wanted.shape}"
    different = np.argwhere(found != wanted)
    if len(different):
        channel, place = different[np.argmin(different[:, 1])]
        largest = np.abs(found.astype(np.float64) - wanted).max()
        shown = f"first {found[channel, place]} for {wanted[channel, place]} at sample {place}, {largest:.3e} at most"
        pytest.fail(f"{what}: {len(different)} of {found.size} samples differ, {shown}")


def level_dbfs(audio: np.ndarray) -> float:
    """Root mean square."""
    return float(10 * np.log10(np.mean(np.square(audio, dtype=np.float64)) + 1e-30))


def probe(*arguments: str) -> dict:
    """Runs `probe.py` in a process of its own and returns what it reports; a crash fails."""
    command = [sys.executable, HERE / "probe.py", from_environment("COFFRE_VST3"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"probe {arguments} ended with {done.returncode}:\n{done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def read_state(preset: bytes) -> dict:
    """The saved state inside a VST3 preset (VST 3 SDK, "Preset Format"): JSON, as the framework writes it."""
    begin, size = _component(preset)
    return json.loads(preset[begin : begin + size])


def with_state(preset: bytes, payload: dict | bytes) -> bytes:
    """The preset with another component state: an object, or the bytes as they are."""
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    begin = 48
    chunks = struct.pack("<4si4sqq", b"List", 1, b"Comp", begin, len(payload))
    return preset[:40] + struct.pack("<q", begin + len(payload)) + payload + chunks


def _component(preset: bytes) -> tuple[int, int]:
    (table,) = struct.unpack_from("<q", preset, 40)
    (count,) = struct.unpack_from("<i", preset, table + 4)
    for index in range(count):
        name, begin, size = struct.unpack_from("<4sqq", preset, table + 8 + 20 * index)
        if name == b"Comp":
            return begin, size
    raise ValueError("the preset holds no component state")
