"""Stage `f0`: trains the judge of the pitch tracker's candidates, and measures the tracker on sounds whose F0 is exactly known.

`python -m train f0 --frames PROGRAM` makes sounds (`f0_truth.py`) of training speakers and synthetic singers, lets the
program `f0-frames` (`f0.rs`) find candidates, trains the judge (`f0_net.py`) for some epochs and writes its weights into
the sources: a few minutes of one core. Build the program again and measure it with `--measure`, which uses validation
speakers and other notes. Needs the store of `prepare`; sounds are kept in the work folder under `f0`.
"""

import pickle
import subprocess

import numpy as np

from . import f0_net, f0_truth
from .data import REPO, AudioStore, is_adult, load_rows, load_split, training_rows

WEIGHTS = REPO / "src" / "engine" / "f0" / "judge" / "weights.rs"
KINDS = ("held", "vibrato", "glide", "steps")
RANGES = ((80, 1000), (80, 300), (200, 800), (1000, 1550), (400, 1550))
OCTAVES = (0.0, 0.0, -0.3, 0.4, 1.0)
SIZES = {"training": (2400, 900, 900), "held out": (100, 75, 20)}
SECONDS = 5
OCTAVE_RATIOS = (2, 3, 4, 1 / 2, 1 / 3, 1 / 4)


def recordings(rng, rows, store, count):
    """So many rows, spread over the speakers."""
    speakers = {}
    for row in rows:
        if row["row"] in store and 2.5 <= row["end_s"] - row["start_s"] <= 9:
            speakers.setdefault(row["speaker"], []).append(row["row"])
    names = sorted(speakers)
    chosen = [names[n * len(names) // count] for n in range(count)] if count <= len(names) else rng.choice(names, count)
    return [int(rng.choice(speakers[name])) for name in chosen]


def sounds(rng, rows, store, notes, sayings, thin):
    """`(label, Truth)`: sung notes of every kind, range and disturbance in turn, then recordings said again, then thin
    and still voices."""
    kinds = f0_truth.DISTURBANCES
    for number in range(notes):
        trouble, kind = kinds[number % 5], KINDS[number // 5 % 4]
        low, high = (42, 110) if trouble == "creak" else RANGES[number // 20 % 5]
        truth = f0_truth.sung(rng, low, high, kind, 2.0, trouble == "creak")
        yield f"{'high' if low == 1000 else 'sung'}, {trouble}", f0_truth.disturb(rng, truth, trouble)
    for number, row in enumerate(recordings(rng, rows, store, sayings)):
        trouble = kinds[number % 5]
        octaves = -0.9 if trouble == "creak" else OCTAVES[number // 5 % 5]
        audio = store.audio(row)[: SECONDS * f0_truth.RATE].astype(float)
        truth = f0_truth.said_again(rng, audio, octaves, trouble == "creak")
        if truth is not None:
            yield f"speech, {trouble}", f0_truth.disturb(rng, truth, trouble)
    for number in range(thin):
        low, high, kind = ((80, 500, KINDS[number % 4]), (80, 1400, "held"))[number % 9 // 5]
        truth = f0_truth.sung(rng, low, high, kind, thin=number % 9 < 7, still=number % 9 > 4)
        yield "thin or still voice", f0_truth.disturb(rng, truth, ("clean", "noise")[number // 4 % 2])


def kept(speech, work, part):
    """The sounds of a part of the speakers, made once, with the path of each."""
    folder = work / "f0" / part.replace(" ", "-")
    index = folder / "truth.pickle"
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows, store = load_rows(speech), AudioStore(work)
        held = set(load_split()["validation"])
        rows = training_rows(rows) if part == "training" else [r for r in rows if is_adult(r) and r["speaker"] in held]
        made = list(sounds(np.random.default_rng(3 if part == "training" else 1), rows, store, *SIZES[part]))
        for number, (_, truth) in enumerate(made):
            truth.audio.astype("<f4").tofile(folder / f"{number:04}.f32")
        index.write_bytes(pickle.dumps(made))
    made = pickle.loads(index.read_bytes())
    return [(label, truth, folder / f"{number:04}.f32") for number, (label, truth) in enumerate(made)]


def track(frames, paths):
    """Runs the program on files of samples."""
    for first in range(0, len(paths), 200):
        subprocess.run([str(frames), *map(str, paths[first : first + 200])], check=True)


def errors(truth, f0):
    """Counts of one track: voiced frames, of which found; found but off by more than three semitones, and by about an
    octave or twelfth; missed; unvoiced frames, of which taken for voiced; and the cents of the found ones."""
    count = min(len(truth.f0), len(f0))
    true, known, f0 = truth.f0[:count], truth.known[:count], f0[:count]
    voiced, unvoiced = known & (true > 0), known & (true == 0)
    found = voiced & (f0 > 0)
    cents = 1200 * np.log2(f0[found] / true[found])
    octave = np.any([np.abs(cents - 1200 * np.log2(ratio)) < 150 for ratio in OCTAVE_RATIOS], 0)
    counts = [voiced, found, np.abs(cents) > 300, octave, voiced & (f0 == 0), unvoiced, unvoiced & (f0 > 0)]
    return np.array([value.sum() for value in counts]), np.abs(cents)


def table(kept_sounds):
    """Markdown of what `f0-frames` made of them, live and mix in each cell."""
    groups = {}
    for label, truth, path in kept_sounds:
        frames = np.fromfile(f"{path}.track", "<f4").reshape(-1, 4)
        groups.setdefault(label, []).append([errors(truth, frames[:, column]) for column in (0, 2)])
    lines = ["| live / mix | frames | median cents | off by > 3 st % | octave % | missed % | taken for voiced % |", "|---|---|---|---|---|---|---|"]
    for label, found in groups.items():
        cells = []
        for mode in (0, 1):
            voiced, both, gross, octave, missed, unvoiced, false = np.sum([item[mode][0] for item in found], 0)
            cents = np.concatenate([item[mode][1] for item in found])
            shares = [gross / max(both, 1), octave / max(both, 1), missed / max(voiced, 1), false / max(unvoiced, 1)]
            cells.append([f"{np.median(cents):.1f}", *(f"{100 * share:.2f}" for share in shares)])
        lines.append(f"| {label} | {voiced} | " + " | ".join(" / ".join(pair) for pair in zip(*cells)) + " |")
    return "\n".join(lines)


def run(speech, work, frames, epochs, only_measure):
    """Train the judge and write its weights, or print how good the tracker is."""
    if not only_measure:
        found = kept(speech, work, "training")
        track(frames, [path for *_, path in found])
        learned = []
        for label, truth, path in found:
            blocks = np.fromfile(f"{path}.clues", "<f4").reshape(-1, f0_net.AHEAD, f0_net.BLOCK)
            learned.append(f0_net.examples(truth, blocks, label.endswith("creak")))
        judge = f0_net.fit([np.concatenate(values) for values in zip(*learned)], epochs)
        hours = sum(len(truth.audio) for _, truth, _ in found) / f0_truth.RATE / 3600
        WEIGHTS.write_text(f0_net.rust(judge, hours))
        print(f"wrote {WEIGHTS.relative_to(REPO)}; build f0-frames again before measuring")
        return
    found = kept(speech, work, "held out")
    track(frames, [path for *_, path in found])
    print(table(found))
