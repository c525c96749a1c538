"""What the tables show: every figure is a ratio of two sums over conversions, so that a table, the chance it stands in and
the comparison of two releases are all computed from the same pairs of numbers.

A row is one conversion: `table`, `mode`, `clip`, `voice` and whatever was measured; a figure is of the rows that have it.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np

ROUNDS = 4000


@dataclass(frozen=True)
class Figure:
    """`pair(row)` gives numerator and denominator. `better` is 1 where more is better, -1 where less is."""

    title: str
    form: str
    better: int
    pair: Callable


def way(kind):
    """How far from the source (0) to the target (1): of the cosines whose names begin with `kind`."""
    return lambda row: (
        row[f"{kind}target"] - row[f"{kind}source_target"],
        row[f"{kind}target_target"] - row[f"{kind}source_target"],
    )


def share(top, bottom, factor=100):
    return lambda row: (factor * row[top], row[bottom])


def mean(name, factor=1):
    return lambda row: (factor * row[name], 1)


FIGURES = {
    "norm": Figure("similarity", "{:.2f}", 1, way("")),
    "moved": Figure("above a mere move", "{:.2f}", 1, way("moved_")),
    "plain": Figure("by plain speech", "{:.2f}", 1, way("plain_")),
    "x_norm": Figure("x-vector", "{:.2f}", 1, way("x_")),
    "closer": Figure("nearer %", "{:.0f}", 1, mean("closer", 100)),
    "x_closer": Figure("nearer by x-vector %", "{:.0f}", 1, mean("x_closer", 100)),
    "wer": Figure("word errors %", "{:.1f}", -1, share("errors", "words")),
    "more": Figure("over the source", "{:+.1f}", -1, lambda row: (100 * (row["errors"] - row["source_errors"]), row["words"])),
    "per": Figure("phones changed %", "{:.1f}", -1, share("phone_errors", "phones")),
    "ovr": Figure("OVRL", "{:.2f}", 1, mean("ovr")),
    "clean": Figure("OVRL over the source", "{:+.2f}", 1, lambda row: (row["ovr"] - row["source_ovr"], 1)),
    "cents": Figure("F0 cents", "{:.1f}", -1, mean("cents")),
    "gross": Figure("F0 gross %", "{:.2f}", -1, mean("gross")),
    "loudness": Figure("level dB", "{:.1f}", -1, mean("loudness")),
    "false": Figure("false pitch %", "{:.2f}", -1, share("false", "voiced")),
    "refused": Figure("refused %", "{:.0f}", -1, mean("refused", 100)),
}


def pairs(rows, figure):
    """`{clip: [numerator, denominator]}`, summed over the clip's conversions that have the figure."""
    found = {}
    for row in rows:
        try:
            pair = np.array(figure.pair(row), float)
        except (KeyError, TypeError):
            continue  # not measured, or `None`
        if np.isfinite(pair).all():
            found[row["clip"]] = found.get(row["clip"], 0) + pair
    return found


def value(rows, figure):
    """The figure over all rows; `None` where no row has it."""
    found = list(pairs(rows, figure).values())
    top, bottom = np.sum(found, 0) if found else (0, 0)
    return float(top / bottom) if bottom else None


def drawn(count, rounds=ROUNDS, seed=1):
    """How often each of `count` clips is in each bootstrap sample, `[rounds, count]`."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), rounds)


def spread(rows, figure):
    """The bootstrap deviation over clips: the conversions of one clip stay together, for they fail together."""
    found = np.array(list(pairs(rows, figure).values()))
    if len(found) < 2:
        return None
    top, bottom = (drawn(len(found)) @ found).T
    return float(np.std(top[bottom != 0] / bottom[bottom != 0]))


def cell(rows, figure, is_spread):
    found = value(rows, figure)
    if found is None:
        return "-"
    chance = spread(rows, figure) if is_spread else None
    text = figure.form.format(found)
    return f"{text} ± {figure.form.replace('+', '').format(chance)}" if chance is not None else text


def table(rows, names, head, label, is_spread=False):
    """Markdown: a line for each `label(row)`, a column for each figure of `names` that some row has. With `is_spread` each value
    has one bootstrap deviation."""
    shown = [FIGURES[name] for name in names if value(rows, FIGURES[name]) is not None]
    lines = [f"| {head} | conversions | " + " | ".join(figure.title for figure in shown) + " |"]
    lines.append("|" + "---|" * (len(shown) + 2))
    for one in dict.fromkeys(label(row) for row in rows):
        own = [row for row in rows if label(row) == one]
        lines.append(f"| {one} | {len(own)} | " + " | ".join(cell(own, figure, is_spread) for figure in shown) + " |")
    return "\n".join(lines)
