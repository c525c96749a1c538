"""Stage 3: train the content network on phone targets, with agreement between two views of every clip.

AdamW with a cosine over wall-clock time, so that a run fits the time there is whatever the machine; EMA weights are
what is kept. Loss: cross-entropy to the targets (alignment, or the mean of alignment and teacher, or teacher alone
where a clip has no transcript) + symmetric KL between the two views' outputs + squared distance of their features.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from . import augment, labels, net
from .data import AudioStore, load_rows, load_split, training_rows
from .mel import frames_in

CLIPS = 4
SMOOTHING = 0.03
BIG_SPEAKER = 375 * 16000  # samples from which a speaker's share grows with the square root


@dataclass
class Item:
    """One training utterance."""

    store: AudioStore
    row: dict
    phones: np.ndarray | None
    soft: np.ndarray | None

    def audio(self):
        return self.store.audio(self.row["row"])

    def targets(self, frames):
        """Target probabilities `[len(frames), 40]`."""
        if self.phones is None:
            return self.soft[frames].astype(np.float32)
        hard = np.full((len(frames), net.CLASSES), SMOOTHING / net.CLASSES, np.float32)
        hard[np.arange(len(frames)), self.phones[frames]] += 1 - SMOOTHING
        return hard if self.soft is None else 0.4 * hard + 0.6 * self.soft[frames].astype(np.float32)


def collect(speech, work, store, teacher):
    """Training items and their sampling weights."""
    phones = labels.aligned(work, store)
    soft = labels.soft(speech, work, teacher) if teacher else {}
    items = [
        Item(store, row, phones.get(row["row"]), soft.get(row["row"]))
        for row in training_rows(load_rows(speech))
        if (row["row"] in phones or row["row"] in soft) and frames_in(len(store.pcm(row["row"]))) >= 30
    ]
    lengths = np.array([len(store.pcm(item.row["row"])) for item in items], float)
    totals = {}
    for item, length in zip(items, lengths):
        totals[item.row["speaker"]] = totals.get(item.row["speaker"], 0) + length
    damped = [min(1.0, (BIG_SPEAKER / totals[item.row["speaker"]]) ** 0.5) for item in items]
    weights = lengths * np.array(damped)
    print(f"{len(items)} utterances, {lengths.sum() / 57.6e6:.2f} h, {len(totals)} speakers", flush=True)
    return items, weights / weights.sum()


def validation(speech, work, store):
    """`{set: [(audio, phones)]}`: the first 25 aligned clips of the native judge speaker, 60 of the accented ones."""
    phones = labels.aligned(work, store)
    held = set(load_split()["validation"])
    found = {"native": [], "accented": []}
    for row in load_rows(speech):
        name = "native" if row["speaker"] == "ls_26" else "accented" if row["speaker"] in held else None
        if name and row["row"] in phones and len(found[name]) < (25 if name == "native" else 60):
            found[name].append((store.audio(row["row"]), phones[row["row"]]))
    return found


def accuracy(network, sets):
    """Per set: share of right frames (%), over all frames and over frames that are not silence."""
    result = {}
    for name, clips in sets.items():
        right = [(labels.run_net(network, audio)[0].argmax(1).numpy() == phones, phones > 0) for audio, phones in clips]
        hits, speech = np.concatenate([r for r, _ in right]), np.concatenate([s for _, s in right])
        result[name] = (round(100 * float(hits.mean()), 1), round(100 * float(hits[speech].mean()), 1))
    return result


def loss_of(network, inputs, targets, mask):
    """Mean loss per frame, and its cross-entropy part."""
    late, clips = network.look_ahead, len(targets)
    # bfloat16 pays on GPUs only: on processors without instructions for it a step takes three times as long.
    with torch.autocast("cuda", torch.bfloat16, enabled=inputs.is_cuda):
        logits, h = network.compiled(inputs)
    logits, h = logits[:, late:].float(), h[:, late:].float()
    mask, targets = mask[:, : mask.shape[1] - late], targets[:, : targets.shape[1] - late]
    logp = torch.log_softmax(logits, 2)
    first, second = logp[:clips], logp[clips:]
    count = mask.sum().clamp(min=1)
    entropy = -(targets * (first + second) / 2).sum(2)
    divergence = ((first.exp() - second.exp()) * (first - second)).sum(2) / 2
    distance = (F.layer_norm(h[:clips], h.shape[2:]) - F.layer_norm(h[clips:], h.shape[2:])).square().mean(2)
    total = entropy + 0.3 * divergence + 0.2 * distance
    return (total * mask).sum() / count, float((entropy.detach() * mask).sum() / count)


def run(speech, work, name, minutes, teacher, start, rate):
    """Train checkpoint `name` for `minutes`, continuing one that was interrupted."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    path, store = work / f"{name}.pt", AudioStore(work)
    network = net.teacher() if name.startswith("teacher") else net.live()
    if start:
        first = torch.load(work / f"{start}.pt", map_location="cpu", weights_only=True)
        network.adopt(first["weights"], first["config"]["delays"])
    shadow = {key: value.clone() for key, value in network.state_dict().items()}
    network.to(device)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02, betas=(0.9, 0.98))
    spent, step, seen = 0.0, 0, []
    if path.exists():
        saved = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(saved["raw"])
        optimiser.load_state_dict(saved["optimiser"])
        shadow, spent, step = saved["weights"], saved["spent"], saved["step"]
    items, weights = collect(speech, work, store, teacher)
    sets = validation(speech, work, store)
    network.compiled = torch.compile(network.forward) if minutes > 15 else network.forward  # compiling takes minutes
    rng = np.random.default_rng(step)
    torch.manual_seed(step)

    def save():
        plain = {k: v.cpu() for k, v in network.state_dict().items()}
        weights_now = {k: v.clone() for k, v in shadow.items()}
        state = {"config": network.config, "weights": weights_now, "raw": plain, "optimiser": optimiser.state_dict()}
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
        inputs, targets, mask = (part.to(device) for part in augment.batch(rng, items, weights, CLIPS))
        loss, entropy = loss_of(network, inputs, targets, mask)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
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
