"""Stage 6: the linear key projection, chosen by how often neighbours of another speaker are of the same phone and of the
same third of it.

Features u = [h, log-probabilities at temperature 1.5, floored at -9]. Per speaker the mean over speech frames is removed
(the plugin subtracts the mean key, which is the same thing since the projection is linear). Linear discriminant
analysis (Fisher 1936) on classes phone x third of the phone; whitening makes the within-class deviation 1 in every
direction, then a direction with between/within variance ratio r is weighted by (r / (1 + r)) ** power, and all of it
is scaled so that the average within-class deviation per dimension is 1 again.
"""

import numpy as np
import torch

from . import align, frozen, labels, net
from .data import REPO, AudioStore, load_rows, load_split, training_rows
from .mel import frames_in

FIT_SECONDS = 30  # per speaker
BANK_SECONDS = 120
NEIGHBOURS = 6
LOGP_FLOOR = -9.0


def opened(work, name):
    """Network and key projection (`None` before there is one) of a checkpoint, or of the graph that is there for
    `shipped-live` and `shipped-mix`."""
    if name.startswith("shipped-"):
        path = REPO / "models" / ("content_mix.onnx" if name == "shipped-mix" else "content.onnx")
        return frozen.content(path), frozen.projection(path)
    path = work / f"{name}.key.npy"
    return net.load(work / f"{name}.pt")[0], np.load(path) if path.exists() else None


def features(network, audio):
    """u of one clip, `[frames, channels + 40]`."""
    logp, h = labels.run_net(network, audio)
    soft = torch.log_softmax(logp / net.TEMPERATURE, 1).clamp(min=LOGP_FLOOR)
    return torch.cat([h.float(), soft], 1).numpy()


def thirds(segments, frames):
    """Class per frame: 0 for silence, else 3 * phone number + third of the phone."""
    phones = labels.frame_phones(segments, frames)
    classes = phones * 3
    for _, first, last in segments:
        span = np.arange(first, min(last + 1, frames))
        classes[span] += np.minimum(2, (span - first) * 3 // max(1, last - first + 1))
    return np.where(phones == 0, 0, classes), phones


def gather(work, network, rows, seconds):
    """Features, classes and phones per speaker, at most `seconds` of each, speech mean removed."""
    store, segments, found = AudioStore(work), align.load(work), {}
    for row in rows:
        kept = found.setdefault(row["speaker"], [])
        if row["row"] in segments and sum(len(u) for u, _, _ in kept) < seconds * 100:
            frames = frames_in(len(store.pcm(row["row"])))
            kept.append((features(network, store.audio(row["row"])), *thirds(segments[row["row"]], frames)))
    result = {}
    for speaker, kept in found.items():
        if kept:
            u, classes, phones = (np.concatenate(part) for part in zip(*kept))
            result[speaker] = (u - u[phones > 0].mean(0), classes, phones)
    return result


def scatter(u, classes):
    """Covariance within classes and covariance of the class means."""
    order = np.argsort(classes, kind="stable")
    u = u[order]
    _, starts, counts = np.unique(classes[order], return_index=True, return_counts=True)
    means = np.add.reduceat(u, starts, axis=0, dtype=np.float64) / counts[:, None]
    share, centre = counts / len(u), u.mean(0, dtype=np.float64)
    between = (means * share[:, None]).T @ means - np.outer(centre, centre)
    total = (u.T @ u / len(u)).astype(np.float64) - np.outer(centre, centre)
    return total - between, between


def discriminants(speakers, by_third, power):
    """Projection `[64, features]` by the recipe in the module text."""
    u = np.concatenate([s[0] for s in speakers.values()])
    classes = np.concatenate([s[1 if by_third else 2] for s in speakers.values()])
    within, between = scatter(u, classes)
    size = u.shape[1]
    within += np.eye(size) * np.trace(within) / size * 0.01
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(values)
    ratios, axes = np.linalg.eigh(whiten.T @ between @ whiten)
    order = np.argsort(ratios)[::-1][: net.KEY_DIM]
    ratios = np.maximum(ratios[order], 1e-9)
    weights = (ratios / (1 + ratios)) ** power
    return ((whiten @ axes[:, order]) * (weights / np.sqrt(np.mean(weights**2)))).T


def principal(speakers):
    """Plain PCA of the same features, scaled to the same average within-class deviation."""
    u = np.concatenate([s[0] for s in speakers.values()])
    within, between = scatter(u, np.concatenate([s[2] for s in speakers.values()]))
    axes = np.linalg.eigh(within + between)[1][:, ::-1][:, : net.KEY_DIM].T
    return axes / np.sqrt(np.trace(axes @ within @ axes.T) / net.KEY_DIM)


def alike(projection, queries, bank, limit=2500, bank_projection=None):
    """Shares (%) of the 6 nearest bank frames that carry the query's phone, and that carry the same third of it, over
    speech frames of `queries`."""
    u, thirds_of_bank, phones = bank
    keys = u @ (projection if bank_projection is None else bank_projection).T
    asked = np.concatenate([q[0][q[2] > 0] for q in queries]) @ projection.T
    truth = np.concatenate([q[2][q[2] > 0] for q in queries])
    thirds_of_truth = np.concatenate([q[1][q[2] > 0] for q in queries])
    pick = np.random.default_rng(0).permutation(len(asked))[:limit]
    hits = []
    for part in np.array_split(pick, max(1, len(pick) // 500)):
        distance = (keys**2).sum(1)[None] - 2 * asked[part] @ keys.T
        nearest = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        same_third = thirds_of_bank[nearest] == thirds_of_truth[part, None]
        hits.append(((phones[nearest] == truth[part, None]).mean(), same_third.mean()))
    return tuple(round(100 * float(share), 1) for share in np.mean(hits, 0))


def follow(leader, speakers, own):
    """Projection `[64, features]` of `own` features that comes nearest to the leader's keys `[frames, 64]` by speaker."""
    u = np.concatenate([own[s][0][own[s][2] > 0] for s in speakers])
    keys = np.concatenate([leader[s][own[s][2] > 0] for s in speakers])
    square = (u.T @ u).astype(np.float64)
    square += np.eye(len(square)) * np.trace(square) / len(square) * 1e-3
    return np.linalg.solve(square, (u.T @ keys).astype(np.float64)).T


def sets(work, network, rows):
    """Unseen speakers as queries by set, and the banks they ask."""
    held = set(load_split()["validation"])
    native = [r for r in rows if r["speaker"] == "ls_26"][:25]
    accented = [r for r in rows if r["speaker"] in held]
    kathleen = [r for r in training_rows(rows) if r["speaker"] == "kathleen"]
    queries = {
        "native": list(gather(work, network, native, 600).values()),
        "accented": list(gather(work, network, accented, 60).values()),
    }
    banks = {
        "kathleen 2 min": gather(work, network, kathleen, BANK_SECONDS)["kathleen"],
        "kathleen 10 min": gather(work, network, kathleen, 600)["kathleen"],
    }
    return queries, banks


def compare(projection, queries, banks):
    return {f"{q} to {b}": alike(projection, queries[q], banks[b]) for q in queries for b in banks}


def score(figures):
    """What a projection is chosen by: phones and thirds count alike, native speakers and accented ones too."""
    return sum(figures["native to kathleen 2 min"]) + sum(figures["accented to kathleen 2 min"])


def run_following(speech, work, name, leader_name):
    """Project `NAME`'s features into the space of the leader's keys, so that banks made with the leader serve both.

    Least squares makes keys shorter where the features are unsure; whether they are stretched back to the leader's
    deviation is decided by the neighbours that they find in the leader's banks."""
    torch.set_num_threads(1)
    (leader, projection), (network, _) = opened(work, leader_name), opened(work, name)
    rows = load_rows(speech)
    wanted = {s: u @ projection.T for s, (u, _, _) in gather(work, leader, training_rows(rows), FIT_SECONDS).items()}
    own = gather(work, network, training_rows(rows), FIT_SECONDS)
    fitted = follow(wanted, list(own), own)
    queries, _ = sets(work, network, rows)
    _, banks = sets(work, leader, rows)
    spread = lambda keys: np.concatenate(list(keys)).std(0)  # noqa: E731
    stretch = spread(wanted.values()) / spread(u @ fitted.T for u, _, _ in own.values())
    best_score = -1.0
    for label, power in {"as fitted": 0.0, "half stretched": 0.5, "stretched": 1.0}.items():
        tried = fitted * (stretch**power)[:, None]
        figures = {
            f"{q} to {b}": alike(tried, queries[q], banks[b], bank_projection=projection) for q in queries for b in banks
        }
        print(label, figures, flush=True)
        if score(figures) > best_score:
            best, best_score, chosen = tried, score(figures), label
    np.save(work / f"{name}.key.npy", best.astype(np.float32))
    print("kept:", chosen)


def run(speech, work, name):
    """Fit every variant, print its figures, keep the best in `NAME.key.npy`."""
    torch.set_num_threads(1)
    network = net.load(work / f"{name}.pt")[0]
    rows = load_rows(speech)
    speakers = gather(work, network, training_rows(rows), FIT_SECONDS)
    queries, banks = sets(work, network, rows)
    width = network.channels
    variants = {"PCA": principal(speakers)}
    for power in (0, 0.5, 1):
        variants[f"LDA phones, power {power}"] = discriminants(speakers, False, power)
        variants[f"LDA thirds, power {power}"] = discriminants(speakers, True, power)
    only_h = {key: (value[0][:, :width], *value[1:]) for key, value in speakers.items()}
    for power in (0.5, 1):
        h = discriminants(only_h, True, power)
        variants[f"LDA thirds of h only, power {power}"] = np.pad(h, ((0, 0), (0, net.CLASSES)))
    best, best_score = None, -1.0
    for label, projection in variants.items():
        figures = compare(projection, queries, banks)
        print(label, figures, flush=True)
        if score(figures) > best_score:
            best, best_score, chosen = projection, score(figures), label
    np.save(work / f"{name}.key.npy", best.astype(np.float32))
    print("kept:", chosen)
