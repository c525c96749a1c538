"""Tables and the page: averages per mode and voice, as Markdown, JSON and HTML with spectrograms."""

import html
import json

import matplotlib.image
import numpy as np

from . import notes, seeds

COLUMNS = {
    "n": ("clips", "{:.0f}"),
    "target": ("cos target", "{:.3f}"),
    "source": ("cos source", "{:.3f}"),
    "norm": ("norm", "{:.2f}"),
    "closer": ("closer to target %", "{:.0f}"),
    "wer": ("WER native %", "{:.1f}"),
    "wer_readers": ("WER readers %", "{:.1f}"),
    "wer_accented": ("WER accented %", "{:.1f}"),
    "sig": ("SIG", "{:.2f}"),
    "bak": ("BAK", "{:.2f}"),
    "ovr": ("OVR", "{:.2f}"),
    "cents": ("F0 cents", "{:.0f}"),
    "gross": ("F0 gross %", "{:.1f}"),
    "voicing": ("voicing %", "{:.1f}"),
    "loudness": ("level dB", "{:.1f}"),
}
MEANS = ("target", "source", "closer", "sig", "bak", "ovr", "cents", "gross", "voicing", "loudness")


def mean(values):
    values = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(values)) if values else None


def word_rate(rows):
    words = sum(row["words"] for row in rows)
    return 100 * sum(row["errors"] for row in rows) / words if words else None


def summarise(rows):
    """One line of the table. `norm` is (conv-target - source-target) / (target-target - source-target), of means."""
    line = {"n": len(rows)} | {key: mean([row.get(key) for row in rows]) for key in MEANS}
    for key, group in {"wer": "native", "wer_readers": "readers", "wer_accented": "accented"}.items():
        line[key] = word_rate([row for row in rows if row["group"] == group])
    if line["target"] is not None:
        start, end = mean([row["source_target"] for row in rows]), mean([row["target_target"] for row in rows])
        line["norm"] = (line["target"] - start) / (end - start)
    if line["closer"] is not None:
        line["closer"] *= 100
    return line


def table(lines, head):
    """Markdown table of `{label: line}`."""
    rows = [f"| {head} | " + " | ".join(title for title, _ in COLUMNS.values()) + " |"]
    rows.append("|" + "---|" * (len(COLUMNS) + 1))
    for label, line in lines.items():
        cells = ["-" if line.get(key) is None else form.format(line[key]) for key, (_, form) in COLUMNS.items()]
        rows.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def spectrogram(path, audio):
    """Write a picture: 16 kHz audio, 32 ms window, 10 ms hop, 80 dB range."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, 512), 512)[::160] * np.hanning(512)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-6).T[::-1]
    matplotlib.image.imsave(path, level, cmap="magma", vmin=level.max() - 80, vmax=level.max())


def markdown(rows):
    """All tables."""
    by = lambda *keys: {  # noqa: E731
        ", ".join(label): summarise([r for r in rows if tuple(r[k] for k in keys) == label])
        for label in dict.fromkeys(tuple(r[k] for k in keys) for r in rows)
    }
    parts = ["## By mode", table(by("mode"), "mode"), "## By mode and voice", table(by("mode", "voice"), "mode, voice")]
    return "\n\n".join(parts) + "\n"


def write(out, rows, pictures, known=(), seeded=()):
    """`report.md`, `report.json` and `report.html`; `pictures` are `(title, picture file, sound file)`, `known` the rows
    of `notes`, `seeded` those of `seeds`."""
    text = markdown(rows)
    if len({row["seed"] for row in seeded}) > 1:
        text += f"\n## OVRL from seed to seed\n\n{seeds.table(seeded)}\n"
        (out / "seeds.json").write_text(json.dumps(seeded, indent=1))
    if known:
        text += f"\n## Notes and speech of known pitch\n\n{notes.table(known)}\n"
        (out / "notes.json").write_text(json.dumps(known, indent=1))
    (out / "report.md").write_text(text)
    (out / "report.json").write_text(json.dumps(rows, indent=1))
    figures = "".join(
        f'<figure><figcaption>{html.escape(title)}</figcaption><img src="{image}" alt="spectrogram">'
        f'<audio controls preload="none" src="{sound}"></audio></figure>'
        for title, image, sound in pictures
    )
    style = "body{font:14px sans-serif;margin:2em}img{height:180px;max-width:100%;display:block}figure{margin:1em 0}"
    page = f"<!doctype html><meta charset=utf-8><title>Coffre judge</title><style>{style}</style>"
    (out / "report.html").write_text(f"{page}<h1>Coffre judge</h1><pre>{html.escape(text)}</pre>{figures}")
    return text
