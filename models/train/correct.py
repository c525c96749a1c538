"""Train the corrector of live mode: it predicts the refiner's correction before a frame is heard, without adding delay.

The refiner sees the converted sound, 40 ms late; the corrector gets what the sound will be. `correct.rs` converts recordings of
training speakers in live mode, to the four voices and to clones of other training speakers, and writes the
corrector's features of each frame beside the gains of that voice's refiner for the sound. Below the work folder, in
`correct/`: `SPEAKER.wav`, `voices/` clones, `SPEAKER.VOICE.f32` frames. What is there is not made again.
"""

import json
import math
import random
import subprocess
import time

import numpy as np
import onnx
import torch

from . import refine_export, refine_net
from .cross_data import CLONE_SECONDS, LIKENESS, VOICES, first_seconds, recording, singers, usual_shift
from .data import AudioStore
from .refine_pairs import Program, voice_path

FEATURES, BANDS = 211, 64  # correct.rs in src/engine/native says what they are; its order counts
CHANNELS, BLOCKS = 96, 4
SHAPE, LEVEL = slice(0, BANDS), 2 * BANDS  # of the features: the converted envelope, and the level of the frame
ROW = FEATURES + refine_net.PHONES + BANDS
HOST_RATE = 48000
PER_READER, PER_LEARNER = 3, 2  # of the four voices, for each LibriSpeech reader and each of the others
CLONED = 3  # every third training speaker becomes a clone
KNOWN = 0.7  # share of conversions whose singer is learned
CUT, CUTS, KEPT = 300, 32, 20  # frames of a cut, cuts of a batch, one in so many conversions is kept back
PARITY_CALLS = 30
QUIET = 3.0  # natural logarithm of power below the recent level at which a frame counts half


def network():
    """The corrector: the refiner's kind of network, smaller, on bands, without look-ahead."""
    return refine_net.RefineNet(FEATURES, BANDS, CHANNELS, BLOCKS, 0)


def plan(speech, work, coffre):
    """Lines for `correct-frames`, in an order that mixes voices; makes recordings and clones."""
    from eval.measure import Pitch

    folder, store, pitch, rng = work / "correct", AudioStore(work), Pitch(), random.Random(13)
    (folder / "voices").mkdir(parents=True, exist_ok=True)
    everybody, clones = singers(speech), {}
    for number, (name, rows) in enumerate(everybody.items()):
        if number % CLONED == 0:
            clones[name] = first_seconds(rows, rng.choice(CLONE_SECONDS))
    program, usable, lines = Program(coffre, speech, folder, clones, "correct"), [], []
    for name in sorted(clones):
        try:
            usable.append((name, program.median(name)))
        except RuntimeError as error:
            print(f"correct: no clone of {name}, {error}", flush=True)
    for speaker, rows in everybody.items():
        rng.shuffle(rows)
        median = recording(folder, store, pitch, speaker, rows, HOST_RATE)
        if not median:
            continue
        count = PER_READER if rows[0]["corpus"] == "librispeech" else PER_LEARNER
        wanted = [(voice, program.median(voice)) for voice in rng.sample(sorted(VOICES), count)]
        wanted.append(rng.choice([one for one in usable if one[0] != speaker]))
        words = [folder / f"{speaker}.wav"]
        for voice, theirs in wanted:
            singer = "known" if rng.random() < KNOWN else "unknown"
            made = folder / f"{speaker}.{voice}.f32"
            words += [voice_path(folder, voice), usual_shift(median, theirs), rng.choice(LIKENESS), singer, made]
        lines.append(" ".join(map(str, words)))
    return lines


def frames(speech, work, coffre, program, parts):
    """Make the frames of all conversions, with so many processes."""
    lines, running = plan(speech, work, coffre), []
    for part in range(parts):
        path = work / "correct" / f"list-{part}"
        path.write_text("\n".join(lines[part::parts]) + "\n")
        running.append(subprocess.Popen([str(program), str(path)]))
    if any([one.wait() for one in running]):
        raise SystemExit("correct: the frames were not made; the same command goes on")


def conversions(work):
    """`(told [n, 131], phones [n, 40], gains [n, 64], voice [128])` of each conversion, those to learn from and those
    that are kept back: all of some speakers."""
    folder, voices, learned, kept = work / "correct", {}, [], []
    for path in sorted(folder.glob("*.f32")):
        speaker, voice = path.stem.rsplit(".", 1)
        if voice not in voices:
            voices[voice] = torch.from_numpy(refine_net.voice_values(voice_path(folder, voice)))
        rows = torch.from_numpy(np.fromfile(path, "<f4").reshape(-1, ROW))
        if len(rows) > CUT:
            parts = rows.split([FEATURES, refine_net.PHONES, BANDS], 1)
            (kept if hash_of(speaker) % KEPT == 0 else learned).append((*parts, voices[voice]))
    return learned, kept


def hash_of(name):
    """A number that stays the same."""
    return sum(ord(letter) * 31**place for place, letter in enumerate(name))


def loss(gain, wanted, told):
    """Mean square of what is missing, in nepers, of the bands that are heard: what is far below the frame's loudest band or in
    a quiet frame counts less, and the mean of a frame does not count, since the loudness is the singer's."""
    shape = 4 * told[:, :, SHAPE]
    heard = torch.sigmoid((shape - shape.amax(2, keepdim=True) + 7) / 1.5)
    loud = torch.sigmoid(3 * told[:, :, LEVEL] + QUIET)[:, :, None]
    weight = heard * loud
    off = wanted - gain
    off = off - (off * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp(min=1e-6)
    return (weight * off.square()).sum() / weight.sum()


def check(net, kept):
    """The loss over what is kept back, and that of no gains."""
    found = []
    with torch.no_grad():
        for told, phones, wanted, voice in kept:
            gain = net(told[None], voice[None], phones[None])
            found.append([float(loss(one, wanted[None], told[None])) for one in (gain, torch.zeros_like(gain))])
    return np.mean(found, 0).round(4).tolist()


def batch(rng, learned):
    rows = []
    for _ in range(CUTS):
        told, phones, wanted, voice = rng.choice(learned)
        start = rng.randrange(len(told) - CUT)
        rows.append((told[start : start + CUT], phones[start : start + CUT], wanted[start : start + CUT], voice))
    return [torch.stack(part) for part in zip(*rows)]


def run(speech, work, coffre, program, minutes, rate=1.5e-3, parts=2):
    """Make the frames, train for `minutes`, write the checkpoint `correct.pt`."""
    torch.set_num_threads(1)
    frames(speech, work, coffre, program, parts)
    learned, kept = conversions(work)
    print(f"correct: {len(learned)} conversions to learn from, {len(kept)} kept back", flush=True)
    torch.manual_seed(0)
    rng, net, shadow = random.Random(0), network(), network()
    shadow.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01, betas=(0.9, 0.99))
    started, step, shown = time.time(), 0, 0.0
    while (spent := time.time() - started) < 60 * minutes:
        progress = spent / (60 * minutes)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
        told, phones, wanted, voice = batch(rng, learned)
        total = loss(net(told, voice, phones), wanted, told)
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        keep = min(0.998, (step + 1) / (step + 30))
        with torch.no_grad():
            for old, new in zip(shadow.parameters(), net.parameters()):
                old.lerp_(new, 1 - keep)
        step, shown = step + 1, 0.98 * shown + 0.02 * float(total.detach())
        if step % 200 == 0:
            print(json.dumps({"step": step, "seconds": round(spent), "loss": round(shown, 4)}), flush=True)
    print("correct: loss over what is kept back, and of no gains:", check(shadow, kept), f"{step} steps", flush=True)
    torch.save({"weights": shadow.state_dict()}, work / "correct.pt")


def parity(path):
    """What the graph at `path` answers to random frames, the rounded numbers being what it was asked."""
    rng = np.random.default_rng(0)
    told = rng.normal(0, 0.5, (PARITY_CALLS, FEATURES)).round(4)
    voice = np.linspace(-1.5, 0.2, refine_net.VOICE_LEN).round(4)
    phones = rng.dirichlet(np.full(refine_net.PHONES, 0.1), PARITY_CALLS).round(4)
    gain = refine_export.stream(path, told, voice, phones)
    rows = {"features": told, "phones": phones, "gain": gain}
    rows = {name: [refine_export.rounded(row, 5) for row in values] for name, values in rows.items()}
    return rows | {"voice": refine_export.rounded(voice, 4)}


def export(work, repo):
    """Write `models/correct.onnx`; without a checkpoint the network that changes nothing."""
    net, path = network(), work / "correct.pt"
    if path.exists():
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["weights"])
    target = repo / "models" / "correct.onnx"
    onnx.save(refine_export.build(net.eval(), "correct", shows_hidden=False), target)
    (repo / "tests" / "data" / "correct_parity.json").write_text(json.dumps(parity(target)) + "\n")
    print(f"correct: {target.name}, {target.stat().st_size / 1e6:.1f} MB, state {net.state_len}")
