"""Stage 5: train a content network on the guide's labels of every frame, with the recording disguised.

AdamW with a cosine over wall-clock time, so that a run takes the time it was given on any machine; the EMA weights are
kept. Loss: cross-entropy to the guide's phone probabilities (mixed with the alignment where there is one) +
squared distance of a linear map of the features to the guide's directions, from which the speaker's mean is taken, so
that what they tell of the speaker is no help.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from . import augment, frozen, guide, labels, net, singers, song
from .data import REPO, AudioStore, load_rows, load_split, training_rows

CLIPS = 8
ALIGNED = 0.2  # share of the alignment in the targets
BIG_SPEAKER = 375 * 16000  # samples from which a speaker's share grows with the square root
SUNG, REAL = 0.4, 0.15  # share of clips that are speech sung again, and share of the others that are real singing
SETTLE = 150  # steps in which only the map to the guide's directions learns, where the network has learned before


@dataclass
class Item:
    """One training utterance."""

    store: AudioStore
    row: dict
    phones: np.ndarray | None
    soft: np.ndarray
    directions: np.ndarray

    def audio(self):
        return self.store.audio(self.row["row"])

    def targets(self, frames):
        """Target probabilities and directions `[len(frames), 40 + 48]`."""
        soft, directions = self.soft[frames].astype(np.float32), self.directions[frames].astype(np.float32)
        if self.phones is not None:
            soft *= 1 - ALIGNED
            soft[np.arange(len(frames)), self.phones[frames]] += ALIGNED
        return np.concatenate([soft, directions], 1)


def collect(speech, work, store, source):
    """Training items, labelled by the guide or the teacher (`source`), and their sampling weights."""
    phones, said = labels.aligned(work, store), guide.load(work, source)
    items = [
        Item(store, row, phones.get(row["row"]), *said[row["row"]])
        for row in training_rows(load_rows(speech))
        if row["row"] in said
    ]
    lengths = np.array([len(store.pcm(item.row["row"])) for item in items], float)
    totals = {}
    for item, length in zip(items, lengths):
        totals[item.row["speaker"]] = totals.get(item.row["speaker"], 0) + length
    damped = [min(1.0, (BIG_SPEAKER / totals[item.row["speaker"]]) ** 0.5) for item in items]
    weights = lengths * np.array(damped)
    print(f"{len(items)} utterances, {lengths.sum() / 57.6e6:.2f} h, {len(totals)} speakers", flush=True)
    return items, weights / weights.sum()


def with_singers(items, weights, takes):
    """Items and weights with `REAL` of the clips from `takes`, every singer as often."""
    lengths, singers_of = np.array([len(take.pcm) for take in takes], float), [take.row["speaker"] for take in takes]
    totals = {s: sum(n for n, other in zip(lengths, singers_of) if other == s) for s in set(singers_of)}
    even = np.array([n / totals[s] for n, s in zip(lengths, singers_of)])
    return [*items, *takes], np.concatenate([weights * (1 - REAL), even / even.sum() * REAL])


def validation(speech, work, store):
    """`{set: [(audio, phones)]}`: the first 25 aligned clips of the native judge speaker, 60 of accented validation
    speakers, and one of each reader of the validation part."""
    phones = labels.aligned(work, store)
    held = set(load_split()["validation"])
    found = {"native": [], "readers": [], "accented": []}
    for row in load_rows(speech):
        reader = row["speaker"].startswith("ls_")
        name = "native" if row["speaker"] == "ls_26" else ("readers" if reader else "accented") if row["speaker"] in held else None
        if name and row["row"] in phones and len(found[name]) < (25 if name == "native" else 60):
            found[name].append((store.audio(row["row"]), phones[row["row"]]))
    return found


def accuracy(network, sets):
    """Per set: share of right frames (%), over all frames and over frames that are not silence."""
    result = {}
    for name, clips in ((name, clips) for name, clips in sets.items() if clips):
        right = [(labels.run_net(network, audio)[0].argmax(1).numpy() == phones, phones > 0) for audio, phones in clips]
        hits, speech = np.concatenate([r for r, _ in right]), np.concatenate([s for _, s in right])
        result[name] = (round(100 * float(hits.mean()), 1), round(100 * float(hits[speech].mean()), 1))
    return result


def loss_of(network, echo, inputs, targets, mask, settled=True):
    """Mean loss per frame, and its cross-entropy part. `echo` maps features to the guide's directions, and is all that
    learns until `settled`. Directions that are all zero are not known."""
    late = network.look_ahead
    with net.half_precision(inputs.device.type):
        logits, h = network.compiled(inputs)
    logits, h = logits[:, late:].float(), h[:, late:].float()
    if not settled:
        logits, h = logits.detach(), h.detach()
    mask, targets = mask[:, : mask.shape[1] - late], targets[:, : targets.shape[1] - late]
    soft, directions = targets.split([net.CLASSES, guide.DIRECTIONS], 2)
    entropy = -(soft * torch.log_softmax(logits, 2)).sum(2)
    distance = (echo(h) - directions).square().mean(2) * (directions != 0).any(2)
    count = mask.sum().clamp(min=1)
    return ((entropy + 0.5 * distance) * mask).sum() / count, float((entropy.detach() * mask).sum() / count)


def run(speech, work, name, minutes, start, rate, source):
    """Train checkpoint `name` for `minutes`, continuing one that was interrupted."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path, store = work / f"{name}.pt", AudioStore(work)
    network = net.mix() if name.startswith("mix") else net.live()
    echo = torch.nn.Linear(network.channels, guide.DIRECTIONS)
    if start == "shipped":
        first = frozen.content(REPO / "models" / ("content_mix.onnx" if name.startswith("mix") else "content.onnx"))
        network.load_state_dict(first.state_dict())
    elif start:
        first = torch.load(work / f"{start}.pt", map_location="cpu", weights_only=True)
        network.adopt(first["weights"], first["config"]["delays"])
    shadow = {key: value.clone() for key, value in network.state_dict().items()}
    network.to(device)
    echo.to(device)
    learned = [*network.parameters(), *echo.parameters()]
    optimiser = torch.optim.AdamW(learned, rate, weight_decay=0.02, betas=(0.9, 0.98))
    spent, step, seen = 0.0, 0, []
    if path.exists():
        saved = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(saved["raw"])
        echo.load_state_dict(saved["echo"])
        optimiser.load_state_dict(saved["optimiser"])
        shadow, spent, step = saved["weights"], saved["spent"], saved["step"]
    items, weights = collect(speech, work, store, source)
    sung = song.Sung(work, items, weights)
    items, weights = with_singers(items, weights, singers.takes(work, held=False))
    sets = validation(speech, work, store)
    network.compiled = torch.compile(network.forward) if minutes > 15 else network.forward  # compiling takes minutes
    rng = np.random.default_rng(step)
    torch.manual_seed(step)

    def save():
        plain = {k: v.cpu() for k, v in network.state_dict().items()}
        weights_now = {k: v.clone() for k, v in shadow.items()}
        state = {"config": network.config, "weights": weights_now, "raw": plain, "optimiser": optimiser.state_dict()}
        state["echo"] = {k: v.cpu() for k, v in echo.state_dict().items()}
        temporary = path.with_suffix(".tmp")
        torch.save({**state, "spent": spent, "step": step}, temporary)
        temporary.replace(path)
        twin = net.ContentNet(**network.config)
        twin.load_state_dict(shadow)
        print(f"{spent:.0f} s, step {step}, cross-entropy {np.mean(seen[-100:]):.3f},", accuracy(twin.eval(), sets), flush=True)

    last, next_report = time.time(), spent + 240
    while spent < minutes * 60:
        progress = spent / (minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-5
        inputs, targets, mask = (part.to(device) for part in augment.batch(rng, items, weights, CLIPS, sung, SUNG))
        loss, entropy = loss_of(network, echo, inputs, targets, mask, not start or step >= SETTLE)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 2.0)
        optimiser.step()
        step += 1
        seen.append(entropy)
        keep = min(0.997, (1 + step) / (10 + step))
        values = network.state_dict()
        for key, old in shadow.items():
            old.lerp_(values[key].detach().cpu(), 1 - keep)
        if len(seen) > 1:  # the first step compiles
            spent += time.time() - last
        last = time.time()
        if spent > next_report:
            save()
            last, next_report = time.time(), spent + 240
    save()


def blend(work, name, of, share):
    """Checkpoint `name`: `share` of the weights of checkpoint `of`, the rest of the graph that it started from. What a
    network forgets while it learns song comes back sooner than the song goes."""
    network, saved = net.load(work / f"{of}.pt")
    first = frozen.content(REPO / "models" / ("content_mix.onnx" if name.startswith("mix") else "content.onnx")).state_dict()
    weights = {key: value * share + first[key] * (1 - share) for key, value in network.state_dict().items()}
    torch.save({"config": network.config, "weights": weights, "spent": saved["spent"], "step": saved["step"]}, work / f"{name}.pt")
