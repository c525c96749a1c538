"""How often the spoken check errs: sentences of the same and of other speakers against recordings of about 30 s.

Speakers are from the training and validation parts; the judge's are left out. Recordings and sentence of a speaker mostly
come from one session and one microphone, which makes the check look better than it is at home.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from train.data import load_rows, load_split, speech_dir

from . import sources


# Those whose speakers have a minute and more.
CORPORA = {"speechocean762", "fleursdumal", "kathleen", "kerstin", "nathalie", "flemishguy"}


def speakers(speech, count):
    """Per speaker: rows that make 30 s of recordings, and one later sentence of 3 to 9 s."""
    judge, found = set(load_split()["judge"]), {}
    for row in load_rows(speech):
        if row["speaker"] not in judge and row["corpus"] in CORPORA:
            found.setdefault(row["speaker"], []).append(row)
    chosen = []
    for rows in found.values():
        last = int(np.searchsorted(np.cumsum([sources.length(row) for row in rows]), 30)) + 1
        later = [row for row in rows[last:] if 3 <= sources.length(row) <= 9]
        if later:
            chosen.append((rows[:last], later[-1]))
    step = max(1, len(chosen) // count)
    return chosen[::step][:count]


def main():
    parser = argparse.ArgumentParser(prog="eval.spoken", description=__doc__)
    parser.add_argument("--coffre", type=Path, required=True, help="the program to judge")
    parser.add_argument("--count", type=int, default=16, help="speakers")
    parser.add_argument("--others", type=int, default=2, help="other speakers per speaker")
    parser.add_argument("--data", help="speech set; default COFFRE_SPEECH or ../shared/speech")
    options = parser.parse_args()
    speech = speech_dir(options.data)
    same, other = [], []
    with tempfile.TemporaryDirectory() as folder:
        chosen = speakers(speech, options.count)
        files = []
        for index, (rows, sentence) in enumerate(chosen):
            files.append((Path(folder) / f"{index}.wav", Path(folder) / f"{index}-spoken.wav"))
            for path, part in zip(files[-1], (rows, [sentence])):
                audio = np.concatenate(list(sources.cut(speech, part)))
                soundfile.write(path, audio, sources.RATE, subtype="PCM_16")
        for one in range(len(files)):
            for step in range(options.others + 1):
                two = (one + step) % len(files)
                command = [options.coffre, "clone", files[one][0], "--check", "--json", "--spoken-check", files[two][1]]
                said = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
                distance = json.loads(said.stdout)["spoken_distance"]
                (other if step else same).append(distance)
                print(one, two, distance, flush=True)
    report(*(np.array([d for d in found if d is not None]) for found in (same, other)))


def report(same, other):
    """The threshold at which as many own sentences are refused as others' are taken."""
    limits = np.unique(np.concatenate([same, other]))
    missed = np.array([np.mean(same > limit) for limit in limits])
    taken = np.array([np.mean(other <= limit) for limit in limits])
    best = int(np.argmin(np.abs(missed - taken)))
    rate = 50 * (missed[best] + taken[best])
    print(f"{len(same)} own, {len(other)} others: equal error rate {rate:.0f} % at {limits[best]:.2f}")
    print("own, at most:", dict(zip(("50 %", "75 %", "90 %"), np.percentile(same, [50, 75, 90]).round(2).tolist())))
    print("others, at least:", dict(zip(("50 %", "75 %", "90 %"), np.percentile(other, [50, 25, 10]).round(2).tolist())))


if __name__ == "__main__":
    main()
