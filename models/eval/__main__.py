"""Judge a build of Coffre: convert unseen speakers to every voice in every mode, measure, write the report.

Lines `original` are the unconverted clips, so the floor of similarity and the ceiling of words and quality. F0 is
commanded as the source's own track times the transposition, a whole number of semitones towards the target's median. The
tables of song, knob, clones and notes made of hiss are in tables.py.
"""

import argparse
from pathlib import Path

import numpy as np

from train.data import REPO, speech_dir

from . import convert, measure, notes, report, seeds, sources


def parse():
    parser = argparse.ArgumentParser(prog="eval", description=__doc__)
    parser.add_argument("--coffre", type=Path, required=True, help="the program to judge")
    parser.add_argument("--out", type=Path, required=True, help="folder for sounds, pictures and the report")
    parser.add_argument("--seeds", type=int, default=3, help="how often DNSMOS is measured, see seeds.py; 1 is once")
    parser.add_argument("--quick", action="store_true", help="6 clips and one picture each instead of the whole list")
    parser.add_argument("--voices", type=Path, default=REPO / "models" / "voices", help="folder of voice files")
    parser.add_argument("--voice", action="append", help="only this voice; may be repeated")
    parser.add_argument("--data", help="speech set; default COFFRE_SPEECH or ../shared/speech")
    return parser.parse_args()


class Judge:
    """The measuring instruments, loaded once."""

    def __init__(self, clips):
        self.similarity, self.pitch = measure.Similarity(), measure.Pitch()
        self.words = measure.words_by_reader(clips)

    def row(self, clip, voice, mode, audio, target, source):
        """Measures of one output. `target` and `source` hold embeddings and what is known of both speakers."""
        embedded = self.similarity.embed(audio)
        to_target, to_source = float(embedded @ target["centre"]), float(embedded @ source["embedding"])
        row = {"clip": clip.name, "voice": voice, "mode": mode, "group": clip.group, "sex": clip.sex}
        row |= {"target": to_target, "source": to_source, "closer": float(to_target > to_source)}
        row |= {"source_target": float(source["embedding"] @ target["centre"]), "target_target": target["own"]}
        row |= measure.quality(audio)
        if clip.text:
            row["errors"], row["words"] = self.words[clip.group == "readers"].errors(audio, clip.text)
        if mode != "original":
            row |= measure.pitch_error(source["f0"] * 2 ** (source["transpose"] / 12), self.pitch.track(audio))
            row["loudness"] = measure.loudness_error(clip.audio, audio)
        return row

    def target(self, speech, speaker):
        """The target's own similarity is each kept-back clip against the others."""
        clips = sources.references(speech, speaker)
        embedded = np.array([self.similarity.embed(audio) for audio in clips])
        own = np.mean([e @ unit(np.delete(embedded, i, 0).mean(0)) for i, e in enumerate(embedded)])
        return {"centre": unit(embedded.mean(0)), "own": float(own), "median": self.pitch.median(clips)}


def learn_singers(coffre, speech, out, clips, voice):
    """Speaker to profile file, or to `None` where the clip is all there is."""
    judged, profiles = {clip.row for clip in clips}, {}
    for speaker in dict.fromkeys(clip.speaker for clip in clips):
        recording, path = sources.enrolment(speech, speaker, judged), out / f"{speaker}.profile"
        if recording is not None:
            convert.write(path.with_suffix(".source.wav"), recording)
            recording = convert.learn(coffre, path.with_suffix(".source.wav"), path, voice)
        profiles[speaker] = recording
    return profiles


def unit(vector):
    return vector / np.linalg.norm(vector)


def main():
    args = parse()
    speech, out = speech_dir(args.data), args.out
    (out / "sounds").mkdir(parents=True, exist_ok=True)
    clips = sources.sources(speech, args.quick)
    judge = Judge(clips)
    voices = {n: s for n, s in sources.voices(args.voices).items() if not args.voice or n in args.voice}
    targets = {voice: judge.target(speech, speaker) for voice, speaker in voices.items()}
    rows, pictures, refused, again = [], [], set(), []
    profiles = learn_singers(args.coffre, speech, out, clips, next(iter(voices)))
    for clip in clips:
        name = f"sounds/{clip.name}.wav"
        convert.write(out / name, clip.audio)
        track = judge.pitch.track(clip.audio)
        source = {"embedding": judge.similarity.embed(clip.audio), "f0": track, "transpose": 0}
        median = float(np.median(track[track > 0])) if (track > 0).any() else 150.0
        first = True
        for voice, target in targets.items():
            rows.append(judge.row(clip, voice, "original", clip.audio, target, source))
            source["transpose"] = round(12 * np.log2(target["median"] / median))
            for mode in convert.MODES:
                if mode in refused:
                    continue
                path = f"sounds/{clip.name}.{voice}.{mode.replace(' ', '-')}.wav"
                audio = convert.convert(args.coffre, out / name, out / path, voice, mode, source["transpose"], profiles[clip.speaker])
                if audio is None:
                    refused |= {mode} if mode == "pitch shift only" else set()
                    continue
                rows.append(judge.row(clip, voice, mode, audio, target, source))
                if mode in seeds.MODES:
                    again.append((clip.name, voice, mode, source["transpose"], profiles[clip.speaker]))
                if first:
                    report.spectrogram(out / f"{path}.png", audio)
                    pictures.append((f"{clip.name} to {voice}, {mode}", f"{path}.png", path))
            source["transpose"] = 0
            first = False
        report.spectrogram(out / f"{name}.png", clip.audio)
        pictures.append((f"{clip.name}, original", f"{name}.png", name))
        print(clip.name, flush=True)
    voice = next(iter(targets))
    phrases = notes.sung() + notes.spoken(clips)
    known = notes.judge(args.coffre, out, judge.pitch, phrases, voice, targets[voice]["median"])
    once = [row | {"seed": 0} for row in rows if row["mode"] in seeds.MODES]
    print(report.write(out, rows, pictures, known, once + seeds.judge(args.coffre, out, clips, again, args.seeds)))


if __name__ == "__main__":
    main()
