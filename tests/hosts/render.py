"""Converts a recording with the VST3 bundle in a real host (pedalboard): `cargo xtask demo` runs it.

Renders offline, with the host's delay compensation, and writes 32-bit floating point. The last line on standard output
is a report in JSON: voice, host, latency_samples, latency_ms, seconds_of_audio, seconds_to_render.
"""

import argparse
import base64
import json
import sys
import time
from pathlib import Path

import pedalboard
import soundfile

from hosts import read_state, with_state

BLOCK_LEN = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vst3", help="the bundle")
    parser.add_argument("input", help="recording of one or two channels")
    parser.add_argument("output", help="WAV file to write")
    parser.add_argument("--voice", help="its name; without it the one that a new instance has")
    parser.add_argument("--profile", help="the singer's profile, as `coffre convert --save-profile` writes it")
    options = parser.parse_args()

    audio, rate = soundfile.read(options.input, dtype="float32", always_2d=True)
    if audio.shape[1] > 2:
        sys.exit(f"the host test takes one or two channels; {options.input} has {audio.shape[1]}")
    plugin = pedalboard.load_plugin(options.vst3)
    if options.profile:
        state = read_state(plugin.preset_data)
        profile = base64.b64encode(Path(options.profile).read_bytes()).decode()
        state["fields"]["source-profile"] = json.dumps(profile)
        plugin.preset_data = with_state(plugin.preset_data, state)
    if options.voice:
        plugin.voice = voice_of(plugin, options.voice)
    # Graphs and voices are loaded in the background; they are not part of the rendering's cost.
    plugin.process(audio[: rate // 10].T, rate, buffer_size=BLOCK_LEN, reset=True)

    start = time.perf_counter()
    result = plugin.process(audio.T, rate, buffer_size=BLOCK_LEN, reset=True)
    seconds = time.perf_counter() - start
    soundfile.write(options.output, result.T, rate, subtype="FLOAT")
    report = {
        "voice": str(plugin.voice),
        "host": f"pedalboard {pedalboard.__version__}, blocks of {BLOCK_LEN}",
        "latency_samples": plugin.reported_latency_samples,
        "latency_ms": 1000 * plugin.reported_latency_samples / rate,
        "seconds_of_audio": len(audio) / rate,
        "seconds_to_render": seconds,
    }
    print(json.dumps(report))


def voice_of(plugin: pedalboard.VST3Plugin, name: str) -> str:
    """The parameter's text of a voice, found by name in any case."""
    known = [str(text) for text in plugin.parameters["voice"].valid_values]
    found = [text for text in known if text.lower() == name.strip().lower()]
    if not found:
        names = ", ".join(text for text in known if not text.isdigit())
        sys.exit(f"a new instance has no voice named `{name}`; it has {names}")
    return found[0]


if __name__ == "__main__":
    main()
