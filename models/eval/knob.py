"""What the likeness knob does, for speech and for song: the same conversions at 0, 30, 60, 80 and 100 %."""

from train.data import load_rows

from . import jobs, sources
from .instruments import Source

STEPS = (0, 30, 60, 80, 100)
GROUPS = {"native": 5, "readers": 7, "accented": 4}  # clips of each
WORST_OF = ("speech, likeness 60",)
COLUMNS = ("norm", "moved", "x_norm", "closer", "wer", "per", "ovr", "clean", "cents", "gross", "loudness")


def spoken_rows(rows):
    """The rows of `spoken`."""
    return sources.chosen_rows(rows, False)


def spoken(speech):
    """Clips with words of the main table."""
    wanted, found = {row["row"] for row in spoken_rows(load_rows(speech))}, []
    for group, count in GROUPS.items():
        own = [clip for clip in sources.sources(speech) if clip.group == group and clip.row in wanted][:count]
        found += [Source(clip.name, clip.audio, clip.text, group, clip.speaker) for clip in own]
    return found


def plan(found, people, judge, profiles):
    """Each clip to one voice, in turn."""
    names, made = list(people), []
    for step in sorted(STEPS, key=lambda step: step not in (60, 100)):
        for number, source in enumerate(found):
            voice = names[number % len(names)]
            semitones = jobs.out_of_key(source.heard(judge)["median"], people[voice].median)
            options = ["--likeness", str(step)]
            made.append(jobs.Job(f"speech, likeness {step}", source, voice, people[voice], semitones, options, profile=profiles[source.speaker]))
    return made


def rows(knob_rows, song_rows):
    """Those conversions, and the sung ones, that were made at every step."""
    found = list(knob_rows)
    sung = [row | {"mode": row["mode"].replace("in key", "song, in key")} for row in song_rows if "in key, likeness" in row["mode"]]
    found += sung
    at = {}
    for row in found:
        at.setdefault((row["clip"], row["voice"]), set()).add(row["mode"])
    return sorted((row for row in found if len(at[row["clip"], row["voice"]]) == len(STEPS)), key=order)


def order(row):
    return row["mode"].rsplit(" ", 1)[0], int(row["mode"].rsplit(" ", 1)[1])


def label(row):
    return row["mode"]
