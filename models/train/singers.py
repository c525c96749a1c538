"""Real singing: syllables of singing banks as phone labels.

A take's name says what is sung, in kana or romaji. Each syllable becomes sets of phones that would be right (a Japanese
"a" is neither quite AA nor AH); a Viterbi pass over the posteriors of the encoder that shipped before finds when. Inside
a vowel the set is sure; how the probability is shared within it is left to what the encoder says. Consonants count
half, frames at a boundary little. Whole singers are held out (`split.json`).
"""

import re
from itertools import groupby

import numpy as np

from . import frozen, labels, mel
from .data import PHONE_ID, PHONES, RATE, REPO, load_rows, singing_dir, training_rows
from .prepare import decode, level

VOWELS = {"a": "AA AH", "i": "IY IH", "u": "UW UH", "e": "EH EY", "o": "OW AO"}
ONSETS = {
    "k": ["K"], "g": ["G NG"], "ng": ["NG G"], "s": ["S"], "sh": ["SH"], "z": ["Z"], "j": ["JH ZH"], "t": ["T"], "ch": ["CH"],
    "ts": ["T", "S"], "d": ["D"], "n": ["N"], "h": ["HH"], "f": ["F HH"], "b": ["B V"], "p": ["P"], "m": ["M"], "y": ["Y IY"],
    "r": ["R L D"], "l": ["L R"], "w": ["W"], "v": ["V B"],
}  # fmt: skip
MORA_N = "N M NG"
ROWS = {
    "": "あいうえお", "k": "かきくけこ", "g": "がぎぐげご", "s": "さ_すせそ", "z": "ざ_ずぜぞ", "t": "た__てと", "d": "だ__でど",
    "n": "なにぬねの", "h": "はひ_へほ", "b": "ばびぶべぼ", "p": "ぱぴぷぺぽ", "m": "まみむめも", "r": "らりるれろ",
}  # fmt: skip
KANA = {kana: onset + vowel for onset, row in ROWS.items() for kana, vowel in zip(row, "aiueo") if kana != "_"}
KANA.update({"し": "shi", "じ": "ji", "ち": "chi", "つ": "tsu", "ぢ": "ji", "づ": "zu", "ふ": "fu", "や": "ya", "ゆ": "yu", "よ": "yo"})
KANA.update({"わ": "wa", "を": "o", "ヴ": "vu", "ん": "n", "ン": "n", "グ": "ngu"})
SMALL = dict(zip("ぁぃぅぇぉァィゥェォゃゅょ", ["a", "i", "u", "e", "o"] * 2 + ["ya", "yu", "yo"]))
ROMAJI = re.compile(r"(ng|sh|ch|ts|[kgsztdnhbpmrfvjlwy]?)(y?)([aiueo])|n")
EDGE = 3  # frames at either end of a vowel that are not sure
STAY = 0.3  # nats for each change of state


def romaji(text):
    """Syllables of a take's name, or `None` where it is more than syllables."""
    if not re.search("[ぁ-ヴ]", text):
        return [part for part in re.split("[_-]", text.lower()) if part] or None
    found = []
    for sign in text.split("_")[1 if text.startswith("_") else 0]:
        if sign in KANA:
            found.append(KANA[sign])
        elif sign in SMALL and found and found[-1][-1] in "iueo":
            stem, glide = found[-1][:-1], SMALL[sign]
            soft = stem in ("sh", "ch", "j")
            if found[-1] in ("u", "i"):
                stem = {"u": "w", "i": "y"}[found[-1]]
            found[-1] = stem + (glide[1:] if soft and len(glide) > 1 else glide)
        else:
            return None
    return found or None


def phones(text):
    """What a take sings: a list of `(phones that would be right, is it a vowel)`, or `None`."""
    found = []
    for syllable in romaji(text) or [None]:
        match = ROMAJI.fullmatch(syllable or "?")
        if not match:
            return None
        if syllable == "n":
            found.append((MORA_N, False))
            continue
        onset, glide, vowel = match.groups()
        found += [(phone, False) for phone in ONSETS.get(onset, [])]
        found += [("Y IY", False)] if glide else []
        found.append((VOWELS[vowel], True))
    return found


def place(logp, sets, quiet):
    """Frame numbers at which each of `sets` begins and where the last ends, by Viterbi with silence around."""
    states = [("SIL", False), *sets, ("SIL", False)]
    scores = np.stack([np.log(np.exp(logp[:, ids(state)]).sum(1) + 1e-3) for state, _ in states], 1)
    scores[quiet, 1:-1] -= 4.0
    scores[~quiet, 0] -= 4.0
    scores[~quiet, -1] -= 4.0
    best, came = scores[0].copy(), np.zeros(scores.shape, bool)
    best[2:] = -1e9
    for frame in range(1, len(scores)):
        moved = np.concatenate([[-1e9], best[:-1] - STAY])
        came[frame] = moved > best
        best = np.maximum(moved, best) + scores[frame]
    state, starts = len(states) - 1 if best[-1] > best[-2] else len(states) - 2, [0] * (len(states) + 1)
    starts[state + 1 :] = [len(scores)] * (len(states) - state)
    for frame in range(len(scores) - 1, -1, -1):
        starts[state] = frame
        state -= bool(came[frame, state])
    return starts[1:-1]


def ids(state):
    return [PHONE_ID[phone] for phone in state.split()]


class Take:
    """One labelled take; what `augment.batch` asks of an item."""

    def __init__(self, row, pcm, logp, sets):
        self.row, self.pcm = row, pcm
        audio = self.audio()
        count = mel.frames_in(len(audio))
        energy = np.array([np.mean(audio[k * mel.HOP : k * mel.HOP + mel.WINDOW] ** 2) for k in range(count)])
        quiet = energy < np.quantile(energy, 0.9) * 10**-3.5
        self.starts, self.sets = place(logp[:count], sets, quiet), sets
        self.soft = np.zeros((count, len(PHONES)), np.float32)
        self.sure = np.where(quiet, 1.0, 0.3).astype(np.float32)
        self.soft[:, 0] = 1
        self.truth = np.full(count, -1)  # number of the set that is sung, inside vowels only
        for number, ((state, vowel), first, end) in enumerate(zip(sets, self.starts, self.starts[1:])):
            allowed = ids(state)
            said = np.exp(logp[first:end, allowed]) + 0.02
            self.soft[first:end] = 0
            self.soft[first:end, allowed] = said / said.sum(1, keepdims=True)
            self.sure[first:end] = 0.5
            self.sure[first : first + 2] = self.sure[max(first, end - 2) : end] = 0.1
            if vowel and end - first > 2 * EDGE + 4:
                self.sure[first + EDGE : end - EDGE] = 1
                self.truth[first + EDGE : end - EDGE] = number
        self.truth[quiet] = -1

    def audio(self):
        return self.pcm.astype(np.float32) / 32768

    def targets(self, frames):
        """Probabilities, and zeros in place of the guide's directions, which nobody knows here."""
        from .guide import DIRECTIONS

        return np.concatenate([self.soft[frames], np.zeros((len(frames), DIRECTIONS), np.float32)], 1)


def rows(held):
    """Manifest rows of the singers that are held out (`held`) or of the others."""
    found = load_rows(singing_dir())
    free = {row["row"] for row in training_rows(found)}
    return [row for row in found if (row["row"] not in free) == held]


def takes(work, held):
    """Labelled takes of the training singers, or of those held out; found once and kept in `work`."""
    path = work / f"singers.{'held' if held else 'train'}.npz"
    if not path.exists():
        network, kept = frozen.content(REPO / "models" / "content_mix.onnx"), {}
        for file, group in groupby(rows(held), key=lambda row: row["file"]):
            audio = decode(singing_dir() / file)
            for row in group:
                if phones(row["text"]) is None:
                    continue
                piece = level(audio[round(row["start_s"] * RATE) : round(row["end_s"] * RATE)])
                name = f"{row['file']} {row['start_s']}"
                kept[f"{name} pcm"] = (piece * 32767).astype("<i2")
                kept[f"{name} logp"] = labels.run_net(network, piece.astype(np.float32))[0].numpy().astype(np.float16)
        np.savez(path, **kept)
    kept, found = np.load(path), []
    for row in rows(held):
        name = f"{row['file']} {row['start_s']}"
        if f"{name} pcm" in kept:
            found.append(Take(row, kept[f"{name} pcm"], kept[f"{name} logp"].astype(np.float32), phones(row["text"])))
    return found
