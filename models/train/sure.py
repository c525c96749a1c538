"""How sure the content encoders are of their phones in speech and in song, and how right: what singing costs, in figures.

Speech of validation speakers as it is, the same said again by WORLD on one note with vibrato, held 1.7 times as long, and
both; and real singing of singers that nothing trains on. Confidence can be had by being wrong aloud, so beside the
probability of the likeliest phone stand its entropy, how often it is right, and the cross-entropy to what was said. All
of it is of voiced frames, as the engine reads them (at the exported temperature).
"""

import json

import numpy as np
import torch

from . import encoder, keys, labels, mel, net, singers, song
from .data import RATE, AudioStore, load_rows, training_rows

NOTES = (170, 250, 330, 400, 600)
CLIPS = {"native": 8, "readers": 9, "accented": 8}
TAKES = 60  # of real singing, of each singer
LONGER = 1.7
BANK_SECONDS = 120


def resung(audio, phones, note, slower):
    """`audio` said again by WORLD on `note` Hz (its own pitch if `None`) and `slower` times as long, with its phones."""
    import pyworld

    x = audio.astype(np.float64)
    f0, times = pyworld.dio(x, RATE, f0_floor=60.0, f0_ceil=700.0)
    f0 = pyworld.stonemask(x, f0, times, RATE)
    spectrum, breath = pyworld.cheaptrick(x, f0, times, RATE), pyworld.d4c(x, f0, times, RATE)
    place = np.round(np.arange(0, len(f0) - 1, 1 / slower)).astype(int)
    f0, spectrum, breath = f0[place], spectrum[place], breath[place]
    if note:
        vibrato = 0.3 * np.sin(2 * np.pi * 5.5 * np.arange(len(f0)) * 0.005)
        f0 = np.where(f0 > 0, note * 2 ** (vibrato / 12), 0.0)
    y = pyworld.synthesize(f0, np.ascontiguousarray(spectrum), np.ascontiguousarray(breath), RATE).astype(np.float32)
    count = mel.frames_in(len(y))
    centre = np.arange(count) * mel.HOP + mel.WINDOW / 2
    voiced = f0[np.clip(np.round(centre / RATE / 0.005).astype(int), 0, len(f0) - 1)] > 0
    source = np.clip(np.round((centre / slower - mel.WINDOW / 2) / mel.HOP), 0, len(phones) - 1).astype(int)
    return y, phones[source], voiced


def material(speech, work):
    """`{condition: [(audio, phones, voiced)]}` of speech; made once and kept in `sure.npz`."""
    path = work / "sure.npz"
    if not path.exists():
        sets = encoder.validation(speech, work, AudioStore(work))
        kept = {}
        for group, clips in sets.items():
            for number, (audio, phones) in enumerate(clips[:: max(1, len(clips) // CLIPS[group])][: CLIPS[group]]):
                _, f0 = song.world(audio)
                said = {f"{group} as is": (audio, phones, f0 > 0), f"{group} held": resung(audio, phones, None, LONGER)}
                for note in NOTES:
                    said[f"{group} {note} Hz"] = resung(audio, phones, note, 1.0)
                    said[f"{group} {note} Hz held"] = resung(audio, phones, note, LONGER)
                for name, (sound, what, voiced) in said.items():
                    pcm = np.clip(sound * 32767, -32767, 32767).astype("<i2")
                    kept.update({f"{name}|{number}|pcm": pcm, f"{name}|{number}|what": np.stack([what, voiced])})
        np.savez(path, **kept)
    kept, found = np.load(path), {}
    for key in kept.files:
        name, number, kind = key.split("|")
        if kind == "pcm":
            what, voiced = kept[f"{name}|{number}|what"]
            found.setdefault(name, []).append((kept[key].astype(np.float32) / 32768, what, voiced > 0))
    return found


def some(takes, singer):
    """`TAKES` takes of one singer, evenly from all of them."""
    own = [take for take in takes if take.row["speaker"] == singer]
    return own[:: max(1, len(own) // TAKES)][:TAKES]


def figures(logp, allowed, where):
    """Of frames `where`: probability of the likeliest phone, entropy (nats), share given to silence, share whose likeliest
    phone is among the `allowed` `[frames, 40]`, cross-entropy to these, number of frames."""
    logp, allowed = logp[where], allowed[where]
    p = np.exp(logp)
    best = p.argmax(1)
    right = allowed[np.arange(len(p)), best]
    return np.array([p.max(1).sum(), -(p * logp).sum(), (best == 0).sum(), right.sum(), -np.log((p * allowed).sum(1) + 1e-9).sum(), len(p)])


def smoothed(audio):
    """Mel frames of WORLD's envelope in place of the spectrum: what is left when no harmonic shows."""
    logs, _ = song.world(audio)
    power = np.exp(logs[:, ::2]) * song.EMPHASIS * (mel.HANN.numpy() ** 2).sum()
    return mel.normalise(torch.tensor(power, dtype=torch.float32) @ mel.BANK.T)[None]


def read(network, audio, smooth=False):
    """Log-probabilities as the engine reads them, and features for keys."""
    logp, h = labels.run_net(network, audio, smoothed(audio) if smooth else None)
    soft = torch.log_softmax(logp / net.TEMPERATURE, 1)
    return soft.numpy(), torch.cat([h.float(), soft.clamp(min=keys.LOGP_FLOOR)], 1).numpy()


def bank(speech, work, network, projection):
    """Keys and phones of two minutes of the first target voice, its mean key taken off."""
    rows = [row for row in training_rows(load_rows(speech)) if row["speaker"] == "kathleen"]
    kept = keys.gather(work, network, rows, BANK_SECONDS).get("kathleen")
    return None if kept is None else (kept[0] @ projection.T, kept[2])


def neighbours(found, asked, truth):
    """Share of the nearest bank frames that carry the phone."""
    hits = []
    for part in np.array_split(np.arange(len(asked)), max(1, len(asked) // 500)):
        distance = (found[0] ** 2).sum(1)[None] - 2 * asked[part] @ found[0].T
        nearest = np.argpartition(distance, keys.NEIGHBOURS, axis=1)[:, : keys.NEIGHBOURS]
        hits += list((found[1][nearest] == truth[part, None]).mean(1))
    return float(np.mean(hits))


def run(speech, work, names, smooth=False, only=""):
    """Print one line per network and condition that begins with `only`, and keep them in `sure.json`."""
    torch.set_num_threads(1)
    path, table = work / "sure.json", {}
    spoken, sung = material(speech, work), singers.takes(work, held=True)
    sung = [take for singer in sorted({t.row["speaker"] for t in sung}) for take in some(sung, singer)]
    one = np.eye(net.CLASSES)
    for name in names:
        network, projection = keys.opened(work, name)
        frames = bank(speech, work, network, projection) if projection is not None else None
        rows = {}
        for condition, clips in ((c, clips) for c, clips in spoken.items() if c.startswith(only)):
            total, asked, truth = np.zeros(6), [], []
            for audio, phones, voiced in clips:
                logp, u = read(network, audio, smooth)
                count = min(len(logp), len(phones))
                where = voiced[:count] & (phones[:count] > 0)
                total += figures(logp[:count], one[phones[:count]], where)
                if frames is not None:
                    said = u[:count][phones[:count] > 0].mean(0)
                    asked.append((u[:count] - said)[where][::4] @ projection.T)
                    truth.append(phones[:count][where][::4])
            rows[condition] = [*total[:5] / total[5], total[5]]
            if frames is not None:
                rows[condition].append(neighbours(frames, np.concatenate(asked), np.concatenate(truth)))
        for take in (take for take in sung if take.row["speaker"].startswith(only)):
            logp, _ = read(network, take.audio(), smooth)
            allowed = np.zeros((len(take.truth), net.CLASSES))
            for number in np.unique(take.truth[take.truth >= 0]):
                allowed[take.truth == number] = one[singers.ids(take.sets[number][0])].sum(0)
            condition = f"{take.row['speaker']} vowels"
            rows[condition] = rows.get(condition, np.zeros(6)) + figures(logp[: len(allowed)], allowed, take.truth >= 0)
        for condition, total in rows.items():
            if condition.startswith("sing_"):
                rows[condition] = [*total[:5] / total[5], total[5]]
        print(f"{name}{' smoothed' * smooth}: likeliest, entropy, silent, right, cross-entropy, frames" + (", neighbours" if frames else ""))
        for condition, row in rows.items():
            near = f"{row[6]:7.1%}" if len(row) > 6 else ""
            print(f"  {condition:24} {row[0]:.2f} {row[1]:5.2f} {row[2]:6.1%} {row[3]:6.1%} {row[4]:5.2f} {row[5]:7.0f}{near}", flush=True)
        table[name + " smoothed" * smooth + only] = {condition: [float(value) for value in row] for condition, row in rows.items()}
    old = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**old, **table}, indent=1))
