"""Two releases beside each other, and which of their differences are beyond chance.

`python -m eval.compare OLD NEW`: each is a folder of results, or a `coffre` program, which is judged first. Only what both
have is compared: the same table, mode, clip and voice. Paired bootstrap over clips (Efron and Tibshirani 1993): clips are
drawn with their conversions by both releases, so that what makes a clip hard counts on both sides. "Beyond chance" is said
after Holm's correction for the number of comparisons; "perhaps" where only the 95 % interval of the one leaves zero out.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from . import results
from .figures import FIGURES, drawn, pairs

ROUNDS = 20000
FEWEST = 5  # clips, for a comparison to be tried
LEVEL = 0.05
# Too near to what the others say, or no quality: not compared.
SILENT = {"plain", "more"}


def difference(old, new, figure, rounds=ROUNDS):
    """Of two lists of rows that were made of the same conversions: both values, their difference, its 95 % interval and how
    often chance would make one as great (two-sided). `None` where there are too few clips."""
    before, after = pairs(old, figure), pairs(new, figure)
    clips = [clip for clip in before if clip in after]
    if len(clips) < FEWEST:
        return None
    both = np.array([np.concatenate([before[clip], after[clip]]) for clip in clips])
    if not both[:, 1].sum() or not both[:, 3].sum():
        return None
    sums = drawn(len(clips), rounds) @ both
    sums = sums[(sums[:, 1] != 0) & (sums[:, 3] != 0)]
    found = sums[:, 2] / sums[:, 3] - sums[:, 0] / sums[:, 1]
    one, two = both[:, 0].sum() / both[:, 1].sum(), both[:, 2].sum() / both[:, 3].sum()
    low, high = np.percentile(found, [2.5, 97.5])
    # How much of the bootstrap lies on the other side of zero; never none at all, for the rounds are finite.
    side = min(np.mean(found <= 0), np.mean(found >= 0))
    chance = min(1.0, 2 * (side * len(found) + 1) / (len(found) + 1))
    return {"clips": len(clips), "old": one, "new": two, "difference": two - one, "low": low, "high": high, "chance": chance}


def matched(old, new):
    """The rows of both that both have, in the same order, by table and mode."""
    there, groups = {results.key(row): row for row in new}, {}
    for row in old:
        other = there.get(results.key(row))
        if other is not None and not row.get("refused") and not other.get("refused"):
            pair = groups.setdefault((row["table"], row["mode"]), ([], []))
            pair[0].append(row)
            pair[1].append(other)
    return groups


def holm(chances, level=LEVEL):
    """Which of the comparisons hold when all are made at once."""
    held, order = np.zeros(len(chances), bool), np.argsort(chances)
    for rank, index in enumerate(order):
        if chances[index] > level / (len(chances) - rank):
            break
        held[index] = True
    return held


def compare(old, new, rounds=ROUNDS):
    """A line for each table, mode and figure: `difference` and a `verdict`."""
    lines = []
    for (table, mode), (before, after) in matched(old, new).items():
        for name, figure in FIGURES.items():
            found = None if name in SILENT else difference(before, after, figure, rounds)
            if found:
                lines.append({"table": table, "mode": mode, "figure": name, "title": figure.title} | found)
    held = holm([line["chance"] for line in lines])
    for line, is_held in zip(lines, held):
        is_better = line["difference"] * FIGURES[line["figure"]].better > 0
        is_apart = line["low"] > 0 or line["high"] < 0
        word = "better" if is_better else "worse"
        line["verdict"] = f"**{word}**, beyond chance" if is_held and is_apart else f"perhaps {word}" if is_apart else "chance"
    return lines


def markdown(lines, is_full):
    """What is beyond chance, or everything, and how much was looked at."""
    shown = [line for line in lines if is_full or line["verdict"] != "chance"]
    text = ["| table | mode | figure | clips | old | new | difference | 95 % interval | |", "|" + "---|" * 9]
    for line in shown:
        old, new, gap, low, high = (f"{line[key]:.3g}" for key in ("old", "new", "difference", "low", "high"))
        about = [line["table"], line["mode"], line["title"], str(line["clips"]), old, new, gap, f"{low} .. {high}", line["verdict"]]
        text.append("| " + " | ".join(about) + " |")
    kinds = [sum(line["verdict"].endswith(end) for line in lines) for end in ("beyond chance", "chance")]
    perhaps = sum(line["verdict"].startswith("perhaps") for line in lines)
    text.append(f"\n{len(lines)} comparisons: {kinds[0]} beyond chance, {perhaps} perhaps (chance alone makes about {LEVEL * len(lines):.0f}), the others not.")
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(prog="eval.compare", description=__doc__)
    parser.add_argument("old", type=Path, help="folder of results, or a program")
    parser.add_argument("new", type=Path, help="folder of results, or a program")
    parser.add_argument("--out", type=Path, default=Path("compared"), help="where programs are judged, and comparison.json goes")
    parser.add_argument("--full", action="store_true", help="also what is not beyond chance")
    args, rest = parser.parse_known_args()
    folders = [judged(release, args.out / place, args.out / "kept", rest) for release, place in ((args.old, "old"), (args.new, "new"))]
    print(against(*folders, args.out, args.full))


def judged(release, folder, kept, rest):
    """The folder of results of a release; a program is judged first, with the tables' other options."""
    if release.is_dir():
        return release
    from . import tables

    tables.main(["--coffre", str(release), "--out", str(folder), "--kept", str(kept), *rest])
    return folder


def against(old, new, out, is_full=False):
    """The text, and `comparison.json`."""
    found = [results.folder(place) for place in (old, new)]
    for place, rows in zip((old, new), found):
        if not rows:
            raise SystemExit(f"there are no results in {place}")
    lines = compare(*found)
    if not lines:
        raise SystemExit("the two have no table, mode, clip and voice in common")
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(json.dumps(lines, indent=1))
    return markdown(lines, is_full)


if __name__ == "__main__":
    main()
