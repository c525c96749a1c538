"""Quality again and again: DNSMOS of the same clip through the same voice, begun elsewhere.

A conversion has no chance in it, so the seed moves what comes in as a session does: the clip begins at another place between
two hops, a little louder or softer, above another dither of the sound card. What the score moves by is the instrument's
and the hop grid's; it says how many of a figure's digits count.
"""

import numpy as np

from . import convert, measure
from .sources import RATE

SHIFT = RATE // 100  # a hop
LEVEL_DB = 1.0
MODES = ("default", "default, live", "likeness 100")


def moved(audio, seed):
    """The clip of a seed; seed 0 is the clip itself. 16 kHz, as long as before and up to a hop more."""
    if seed == 0:
        return audio
    rng = np.random.default_rng(seed)
    begun = np.concatenate([np.zeros(rng.integers(1, SHIFT + 1), np.float32), audio])
    dither = (rng.random(len(begun)) - rng.random(len(begun))) / 32768
    return (begun * 10 ** (rng.uniform(-LEVEL_DB, LEVEL_DB) / 20) + dither).astype(np.float32)


def judge(coffre, out, clips, jobs, seeds):
    """Rows `{"clip", "voice", "mode", "seed", "sig", "bak", "ovr"}` for the seeds from 1 on. `jobs` are
    `(clip name, voice, mode, transposition, profile)`; a conversion that the program refuses is an error."""
    audio, rows = {clip.name: clip.audio for clip in clips}, []
    given, made = out / "seed.wav", out / "seed.out.wav"
    for seed in range(1, seeds):
        for name, voice, mode, transpose, profile in jobs:
            convert.write(given, moved(audio[name], seed))
            sound = convert.convert(coffre, given, made, voice, mode, transpose, profile)
            if sound is None:
                raise SystemExit(f"seed {seed} of {name} to {voice} was refused, which was converted before")
            rows.append({"clip": name, "voice": voice, "mode": mode, "seed": seed} | measure.quality(sound))
    return rows


def table(rows):
    """OVRL of each seed over all clips and voices, their mean, and how far one conversion moves between seeds (standard
    deviation, mean over the conversions)."""
    numbers = sorted({row["seed"] for row in rows})
    lines = ["| mode | conversions | " + " | ".join(f"seed {n}" for n in numbers) + " | mean | spread of one |"]
    lines.append("|" + "---|" * (len(numbers) + 4))
    for mode in dict.fromkeys(row["mode"] for row in rows):
        found = {}
        for row in rows:
            if row["mode"] == mode:
                found.setdefault((row["clip"], row["voice"]), {})[row["seed"]] = row["ovr"]
        whole = np.array([[one[n] for n in numbers] for one in found.values() if len(one) == len(numbers)])
        each = " | ".join(f"{value:.3f}" for value in whole.mean(0))
        lines.append(f"| {mode} | {len(whole)} | {each} | {whole.mean():.3f} | {whole.std(1, ddof=1).mean():.3f} |")
    return "\n".join(lines)
