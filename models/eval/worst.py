"""The clips of a table that came out worst, and what is wrong with them."""

COUNT = 5

# What can be wrong: how bad it is (1 = plainly), and how to say it. Each takes a row.
FAULTS = (
    ("likeness", lambda row: (0.25 - way(row)) / 0.35, lambda row: f"similarity {way(row):.2f}" + (", nearer to the singer" if not row["closer"] else "")),
    ("words", lambda row: (row["errors"] - row["source_errors"]) / row["words"] / 0.2, lambda row: f"{row['source_errors']} -> {row['errors']} of {row['words']} words wrong"),
    ("phones", lambda row: (row["phone_errors"] / row["phones"] - 0.2) / 0.25, lambda row: f"{row['phone_errors']} of {row['phones']} phones changed"),
    ("quality", lambda row: (row["source_ovr"] - row["ovr"] - 0.1) / 0.35, lambda row: f"OVRL {row['source_ovr']:.2f} -> {row['ovr']:.2f}"),
    ("pitch", lambda row: row["gross"] / 3, lambda row: f"{row['gross']:.1f} % of frames off pitch"),
    ("level", lambda row: (row["loudness"] - 2) / 1.5, lambda row: f"level off by {row['loudness']:.1f} dB"),
)  # fmt: skip


def way(row):
    """From the source (0) to the target (1)."""
    return (row["target"] - row["source_target"]) / max(row["target_target"] - row["source_target"], 0.1)


def faults(row):
    """`{name: (how bad, words)}` of a row, the worst first. What was not measured cannot be wrong."""
    found = {}
    for name, bad, say in FAULTS:
        try:
            size = float(bad(row))
        except (KeyError, TypeError, ZeroDivisionError):
            continue
        if size > 0:
            found[name] = (size, say(row))
    return dict(sorted(found.items(), key=lambda item: -item[1][0]))


def severity(row):
    """A fault counts little beyond twice plain, so that a clip with three faults is worse than one with one."""
    return sum(min(size, 2) + 0.1 * max(size - 2, 0) for size, _ in faults(row).values())


def worst(rows, count=COUNT):
    """The rows, each clip once."""
    found = {}
    for row in sorted((row for row in rows if not row.get("refused")), key=severity, reverse=True):
        found.setdefault(row["clip"], row)
    return [row for row in found.values() if severity(row)][:count]


def lines(rows, modes):
    """Markdown."""
    out = []
    for row in worst([row for row in rows if row["mode"] in modes]):
        said = "; ".join(words for _, words in faults(row).values())
        out.append(f"- {row['clip']} to {row['voice']} ({row['mode']}): {said}")
    return "\n".join(out)
