"""How similar a cloned voice is with 5 s to 5 min of recordings, before and after `coffre improve`.

Targets are the three held-out speakers with more than five minutes; sources are clips of other held-out speakers. The
recordings are the first seconds of a target's material, the references clips from its end. Every conversion is a line in
`curve.jsonl`, so that a run that was stopped goes on; `--report` prints the table of what is there.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np

from train.data import load_rows, load_split, speech_dir

from . import convert, measure, sources
from .__main__ import learn_singers, unit

TARGETS = ("ls_26", "fdm_remi", "fdm_sonia")
SECONDS = (5, 10, 30, 60, 300)
REFERENCE_SECONDS = 45
KINDS = ("native", "readers", "accented")


def parse():
    parser = argparse.ArgumentParser(prog="eval.curve", description=__doc__)
    parser.add_argument("--coffre", type=Path, help="the program to judge")
    parser.add_argument("--out", type=Path, required=True, help="folder for sounds, voices and results")
    parser.add_argument("--seconds", type=int, action="append", help="only this length; may be repeated")
    parser.add_argument("--improve", type=int, action="append", default=[], help="judge this length after `coffre improve` too")
    parser.add_argument("--embedded", action="append", default=[], help="judge this embedded voice too, on the same clips")
    parser.add_argument("--report", action="store_true", help="only print the table")
    parser.add_argument("--data", help="speech set; default COFFRE_SPEECH or ../shared/speech")
    return parser.parse_args()


def chosen_clips(speech):
    """Native clips with text, other LibriSpeech readers of both sexes and accented speakers with text, in turn, so that a run
    that was stopped has seen some of each."""
    judged = [clip for clip in sources.sources(speech) if not clip.speaker.startswith("fdm_")]
    of = lambda wanted: [clip for clip in judged if clip.group == wanted]  # noqa: E731
    by_sex = [[clip for clip in of("readers") if clip.sex == sex] for sex in "fm"]
    readers = [clip for pair in zip(*by_sex) for clip in pair]
    native, accented = of("native"), of("accented")
    return [clip for n in range(3) for clip in (native[2 * n], readers[n], native[2 * n + 1], accented[n])]


class Target:
    """Recordings and references of one speaker."""

    def __init__(self, speech, speaker, similarity, pitch):
        rows = [row for row in load_rows(speech) if row["speaker"] == speaker]
        lengths = np.array([sources.length(row) for row in rows])
        first = len(rows) - int(np.searchsorted(np.cumsum(lengths[::-1]), REFERENCE_SECONDS)) - 1
        audio = list(sources.cut(speech, rows))
        self.recordings, self.seconds = np.concatenate(audio[:first]), lengths[:first].sum()
        embedded = np.array([similarity.embed(clip) for clip in audio[first:]])
        self.centre = unit(embedded.mean(0))
        self.own = float(np.mean([e @ unit(np.delete(embedded, i, 0).mean(0)) for i, e in enumerate(embedded)]))
        self.median = pitch.median(audio[first:])


def run(command):
    """Run the program; its last line of complaint ends the evaluation."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr.strip().splitlines()[-1])


def make_voice(args, speaker, target, seconds, is_improved):
    """The voice file of the first `seconds`; `None` when there are not so many."""
    if target.seconds < seconds:
        return None
    plain = args.out / f"{speaker}.{seconds}.coffre"
    if not plain.exists():
        wav = plain.with_suffix(".wav")
        convert.write(wav, target.recordings[: seconds * sources.RATE])
        run([args.coffre, "clone", wav, "--name", speaker, "-o", plain, "--quiet", "--keep-recordings"])
    if not is_improved:
        return plain
    improved = plain.with_suffix(".improved.coffre")
    if not improved.exists():
        run([args.coffre, "improve", plain, "-o", improved, "--quiet"])
    return improved


def main():
    args = parse()
    results = args.out / "curve.jsonl"
    if args.report:
        return report([json.loads(line) for line in results.read_text().splitlines()])
    args.out.mkdir(parents=True, exist_ok=True)
    speech = speech_dir(args.data)
    done = {tuple(json.loads(line)["key"]) for line in results.read_text().splitlines()} if results.exists() else set()
    similarity, pitch = measure.Similarity(), measure.Pitch()
    clips = chosen_clips(speech)
    assert {clip.speaker for clip in clips} | set(TARGETS) <= set(load_split()["judge"])
    words = measure.words_by_reader(clips)
    targets = {speaker: Target(speech, speaker, similarity, pitch) for speaker in TARGETS}
    profiles = learn_singers(args.coffre, speech, args.out, clips, "Quartz")
    lengths = [f"{n}{mark}" for n in SECONDS for mark in ("", "+") if n in (args.improve if mark else args.seconds or SECONDS)]
    jobs = [(s, label) for s in TARGETS for label in lengths]
    jobs += [(s, "original") for s in TARGETS] + [(s, name) for s in TARGETS for name in args.embedded]
    for clip in clips:
        source = args.out / f"{clip.name}.wav"
        convert.write(source, clip.audio)
        track = pitch.track(clip.audio)
        median, own = float(np.median(track[track > 0])), similarity.embed(clip.audio)
        for speaker, label in jobs:
            if clip.speaker == speaker or (clip.name, speaker, label) in done:
                continue
            target = targets[speaker]
            audio = clip.audio
            if label != "original":
                seconds = label.removesuffix("+")
                is_length = seconds.isdigit()
                voice = make_voice(args, speaker, target, int(seconds), label != seconds) if is_length else label
                if voice is None:
                    continue
                shift = round(12 * np.log2(target.median / median))
                audio = convert.convert(args.coffre, source, args.out / "out.wav", str(voice), "default", shift, profiles[clip.speaker])
            embedded = similarity.embed(audio)
            row = {"key": [clip.name, speaker, label], "kind": clip.group, "own": target.own}
            row |= {"target": float(embedded @ target.centre), "source_target": float(own @ target.centre)}
            row |= {"closer": float(embedded @ target.centre > embedded @ own)} | measure.quality(audio)
            if clip.text:
                row["errors"], row["words"] = words[clip.group == "readers"].errors(audio, clip.text)
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
    report([json.loads(line) for line in results.read_text().splitlines()])


def report(rows):
    """One line per length: normalised similarity (0 = the source, 1 = the target's own clips), words, quality."""
    order = ["original", *[f"{n}{mark}" for n in SECONDS for mark in ("", "+")]]
    labels = sorted({row["key"][2] for row in rows}, key=lambda l: (order.index(l) if l in order else 99, l))
    print("| recordings | conversions | normalised | by target | nearer to target | word errors, native / readers / accented | OVRL |")
    print("|---|---|---|---|---|---|---|")
    for label in labels:
        found = [row for row in rows if row["key"][2] == label]
        mean = lambda name, rows=found: float(np.mean([row[name] for row in rows]))  # noqa: E731
        of = lambda rows: (mean("target", rows) - mean("source_target", rows)) / (mean("own", rows) - mean("source_target", rows))  # noqa: E731
        each = [[row for row in found if row["key"][1] == speaker] for speaker in TARGETS]
        by_target = " / ".join(f"{of(rows):.2f}" if rows else "-" for rows in each)
        lost = []
        for one in KINDS:
            spoken = [row for row in found if row["kind"] == one]
            count = sum(row["words"] for row in spoken)
            lost.append(f"{100 * sum(row['errors'] for row in spoken) / count:.1f}" if count else "-")
        print(f"| {label} | {len(found)} | {of(found):.2f} | {by_target} | {100 * mean('closer'):.0f} % | {' / '.join(lost)} % | {mean('ovr'):.2f} |")


if __name__ == "__main__":
    main()
