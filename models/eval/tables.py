"""The tables beside the main one: song, the likeness knob, clones from little, and notes made of hiss.

`python -m eval.tables --coffre PROGRAM --out FOLDER`, or with the main one: `python -m eval`. Every conversion is a line in a
file of the table, so a run that was stopped goes on, and `--report` prints what is there. Each table ends with its worst clips.
"""

import argparse
from pathlib import Path

from train.data import REPO, singing_dir, speech_dir

from . import clones, compare, false_pitch, figures, knob, jobs, results, song, sources, worst
from .__main__ import learn_singers
from .instruments import Instruments, Person

TABLES = {"song": song, "knob": knob, "clones": clones, "false-pitch": false_pitch}
TITLES = {
    "song": "Song",
    "knob": "The likeness knob",
    "clones": "Clones from one recording",
    "false-pitch": "Notes made of hiss",
}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="eval.tables", description=__doc__)
    parser.add_argument("--coffre", type=Path, help="the program to judge")
    parser.add_argument("--frames", type=Path, help="the example f0-frames of the same build, for notes made of hiss")
    parser.add_argument("--out", type=Path, required=True, help="folder for sounds and results")
    parser.add_argument("--kept", type=Path, help="folder for what does not depend on the program; default OUT/kept")
    parser.add_argument("--table", action="append", choices=TABLES, help="only this one; may be repeated")
    parser.add_argument("--every", type=int, default=12, help="notes made of hiss: one recording in so many; 1 is all")
    parser.add_argument("--own-register", action="store_true", help="sung in the program's own register of octaves, if it has one")
    parser.add_argument("--report", action="store_true", help="only print the tables")
    parser.add_argument("--against", type=Path, help="afterwards compare with this older release: results, or a program")
    parser.add_argument("--data", help="speech set; default COFFRE_SPEECH or ../shared/speech")
    parser.add_argument("--singing", help="singing set; default COFFRE_SINGING or `singing` beside the speech set")
    args = parser.parse_args(arguments)
    args.kept = args.kept or args.out / "kept"
    args.table = args.table or list(TABLES)
    if not args.report and args.coffre is None:
        parser.error("--coffre is needed")
    return args


class Run:
    """What the tables share: instruments, sources and the embedded voices' people."""

    def __init__(self, args):
        self.args, self.speech, self.singing = args, speech_dir(args.data), singing_dir(args.singing)
        self.spoken = {"knob": knob.spoken(self.speech), "clones": clones.found_sources(self.speech)}
        self.melodies, self.real = song.melodies(self.speech, args.kept / "melodies"), song.real(self.singing)
        every = [*self.spoken["knob"], *self.spoken["clones"], *self.melodies]
        self.judge = Instruments(sorted({source.text for source in every if source.text}))
        voices = sources.voices(REPO / "models" / "voices")
        reference = lambda speaker: sources.references(self.speech, speaker)  # noqa: E731
        self.people = {v: Person(self.judge, reference(s), args.kept / f"{s}.json") for v, s in voices.items()}

    def profiles(self, table):
        """Speaker to profile, as in the main table; those of a run that was stopped are there already."""
        names, folder = {source.name for source in self.spoken[table]}, self.args.out
        clips = [clip for clip in sources.sources(self.speech) if clip.name in names]
        there = {clip.speaker: folder / f"{clip.speaker}.profile" for clip in clips}
        there = {speaker: path for speaker, path in there.items() if path.exists()}
        left = [clip for clip in clips if clip.speaker not in there]
        return there | learn_singers(self.args.coffre, self.speech, folder, left, next(iter(self.people)))

    def table(self, name):
        args, found = self.args, results.Results(self.args.out, name)
        if name == "false-pitch":
            if args.frames is None:
                print("notes made of hiss: left out, for they need --frames")
                return
            false_pitch.judge(args.frames, args.out, self.judge, self.speech, found, args.every)
            return
        if name == "song":
            planned = song.plan(self.real + self.melodies, self.people, self.judge, args.own_register)
        elif name == "knob":
            planned = knob.plan(self.spoken["knob"], self.people, self.judge, self.profiles("knob"))
        else:
            sung = self.real[::2] + self.melodies[::6]
            spoken, profiles = self.spoken["clones"], self.profiles("clones")
            planned = clones.plan(args.coffre, args.out, found, self.judge, self.speech, args.kept, spoken, sung, profiles)
        jobs.run(args.coffre, args.out, self.judge, found, planned)


def markdown(folder, names):
    """All tables that there are results of, each with its worst clips."""
    parts, of = [], {name: results.Results(folder, name).rows for name in TABLES}
    of["knob"] = knob.rows(of["knob"], of["song"])
    for name in names:
        module, rows = TABLES[name], of[name]
        if not rows:
            continue
        is_hiss = name == "false-pitch"
        head = "mode" + (", corpus" if is_hiss else "")
        parts.append(f"## {TITLES[name]}\n\n{figures.table(rows, module.COLUMNS, head, module.label, True)}")
        if is_hiss:
            parts.append(figures.table(rows, module.COLUMNS, "mode", lambda row: row["mode"], True))
        said = "\n".join(false_pitch.worst(rows)) if is_hiss else worst.lines(rows, module.WORST_OF)
        parts.append(f"Worst clips:\n\n{said}" if said else "")
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments=None):
    args = parse(arguments)
    if args.own_register and args.coffre and jobs.octave_word(args.coffre) is None:
        raise SystemExit("this program has no register of octaves of its own")
    if not args.report:
        run = Run(args)
        for name in args.table:
            run.table(name)
    text = markdown(args.out, args.table)
    (args.out / "tables.md").write_text(text)
    print(text)
    if args.against:
        older = compare.judged(args.against, args.out / "older", args.kept, [])
        print(compare.against(older, args.out, args.out / "compared"))


if __name__ == "__main__":
    main()
