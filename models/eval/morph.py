"""Where a morph lies: convert unseen speakers between pairs of voices and measure how near the result is to each.

The place is the cosine to voice B minus that to voice A, scaled so that 0 % is 0 and 100 % is 1; the register is the
share of the way between the medians of the F0 at both ends. "between" counts the outputs that are nearer to A than the
100 % one and nearer to B than the 0 % one.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from train.data import speech_dir

from . import measure, sources

PAIRS = [("quartz", "basalt"), ("celadon", "ochre")]


def convert(coffre, source, output, voices, percent):
    """Converts one file and returns the audio at 16 kHz."""
    output.unlink(missing_ok=True)
    command = [str(coffre), "convert", str(source), "-o", str(output), "--no-watermark", "--quiet"]
    command += ["--voice", voices[0], "--voice-b", voices[1], "--morph", str(percent)]
    subprocess.run(command, check=True)
    return sources.resample(*soundfile.read(output, dtype="float32"))


def main():
    parser = argparse.ArgumentParser(prog="eval.morph", description=__doc__)
    parser.add_argument("--coffre", type=Path, required=True, help="the program to judge")
    parser.add_argument("--all", action="store_true", help="26 clips instead of 6")
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 25, 50, 75, 100], help="percent; 0 and 100 too")
    parser.add_argument("--data", help="speech set; default COFFRE_SPEECH or ../shared/speech")
    options = parser.parse_args()
    speech = speech_dir(options.data)
    names = sources.voices(Path(__file__).parents[1] / "voices")
    similarity, pitch = measure.Similarity(), measure.Pitch()
    centres = {name: similarity.centre(sources.references(speech, names[name])) for pair in PAIRS for name in pair}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "in.wav", Path(folder) / "out.wav"
        for clip in sources.sources(speech, quick=not options.all):
            soundfile.write(source, clip.audio, sources.RATE, subtype="PCM_16")
            for pair in PAIRS:
                found = []
                for percent in options.steps:
                    audio = convert(options.coffre, source, output, pair, percent)
                    embedded = similarity.embed(audio)
                    near = [float(embedded @ centres[name]) for name in pair]
                    found.append([*near, np.log2(pitch.median([audio])) * 12, measure.quality(audio)["ovr"]])
                rows.append(found)
                print(clip.name, *pair, np.round(found, 3).tolist(), flush=True)
    report(options.steps, np.array(rows))


def report(steps, rows):
    """`rows[conversion, step]` = cosine to A, cosine to B, median F0 in semitones, OVRL."""
    side = rows[:, :, 1] - rows[:, :, 0]
    place = np.mean(side - side[:, :1], 0) / np.mean(side[:, -1] - side[:, 0])
    far = np.abs(rows[:, -1, 2] - rows[:, 0, 2]) > 3
    register = (rows[far, :, 2] - rows[far, :1, 2]) / (rows[far, -1:, 2] - rows[far, :1, 2])
    between = (rows[:, :, 0] > rows[:, -1:, 0]) & (rows[:, :, 1] > rows[:, :1, 1])
    print("\n| morph | cos to A | cos to B | place | between | register | OVRL |\n|---|---|---|---|---|---|---|")
    for index, percent in enumerate(steps):
        a, b, _, quality = rows[:, index].mean(0)
        inside = f"{100 * between[:, index].mean():.0f} %" if 0 < percent < 100 else "-"
        print(f"| {percent} % | {a:.3f} | {b:.3f} | {place[index]:.2f} | {inside} | "
              f"{register[:, index].mean():.2f} | {quality:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
