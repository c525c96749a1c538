"""Writes the RVC fixtures in `tests/data` (needs `torch`, `numpy`, `safetensors`, `librosa` and `faiss-cpu`).

Small random networks with the real architecture, saved the way RVC saves, and what the reference makes of inputs that
both sides compute by formula. `rvc_*.pth` are checkpoints, `rvc_*.index` retrieval indexes, `rvc_*.safetensors` the
expected numbers.
"""
import math
import pathlib
import sys

import faiss
import numpy as np
import torch
from safetensors.torch import save_file

import reference

DATA = pathlib.Path(__file__).parent.parent / "data"
DILATIONS = [[1, 3, 5]] * 3


def config(rates, kernels, rate, small=True):
    sizes = (16, 24, 32, 2, 2) if small else (192, 192, 768, 2, 6)
    inter, hidden, filters, heads, layers = sizes
    initial, gin = (32, 8) if small else (512, 256)
    return [
        1025, 32, inter, hidden, filters, heads, layers, 3, 0, "1", [3, 7, 11], DILATIONS, rates, initial, kernels,
        3 if small else 109, gin, rate,
    ]


def wave(count, step):
    """What `tests/rvc.rs` computes too."""
    return torch.sin(torch.arange(count, dtype=torch.float64) * step).float()


def inputs(features, inter, frames, rate, upp, flow_head, decode_head):
    f0 = torch.where(torch.arange(frames) % 10 < 7, 150.0 + 10.0 * torch.arange(frames), torch.tensor(0.0))
    phone = wave(frames * features, 0.37).view(1, frames, features)
    noise = 1.5 * wave(inter * (frames - flow_head), 0.71).view(1, inter, -1)
    source = reference.sine(f0, rate, upp).float()[(flow_head + decode_head) * upp :][None, None]
    return f0, phone, noise, source


def model(name, version, rate, rates, kernels, has_f0, is_half, seed, small=True, out=DATA, frames=40):
    torch.manual_seed(seed)
    cfg = config(rates, kernels, rate, small)
    features = 256 if version == "v1" else 768
    net = reference.Generator(cfg, features, has_f0).eval()
    # Random weights are far from unit scale in a deep network: keep the numbers where trained ones are.
    with torch.no_grad():
        for key, value in net.named_parameters():
            if key.endswith(("post.weight",)):
                value.mul_(0.5)
    if is_half:
        net.half().float()
    extra = {"author": "nobody", "speakers_id": 3, "vocoder": "HiFi-GAN", "model_hash": "00"} if version == "v2" else {}
    label = f"{rate // 1000}k"
    saved = reference.checkpoint(net, cfg, version, label, has_f0, is_half, **extra)
    if version == "v1":
        del saved["version"]  # old files do not say it
    torch.save(saved, out / f"{name}.pth")
    flow_head, decode_head = 4, 6
    upp = math.prod(rates)
    f0, phone, noise, source = inputs(features, cfg[2], frames, rate, upp, flow_head, decode_head)
    pitch = reference.coarse(f0)[None] if has_f0 else None
    stages = net.stages(phone, pitch, noise, source[0] if has_f0 else None, 1, flow_head, decode_head)
    stages = {key: value.contiguous() for key, value in stages.items()}
    if has_f0:
        stages |= {"f0": f0, "coarse": reference.coarse(f0).float(), "source": source[0, 0].contiguous()}
    save_file(stages, out / f"{name}.safetensors")
    print(name, {key: float(value.abs().max()) for key, value in stages.items()})


def normal(seed, places):
    """Coffre's numbered normal numbers: SplitMix64 of the place, then Box and Muller."""
    words = lambda value: np.asarray(value).astype(np.int64).astype(np.uint64)

    def mix(z):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    with np.errstate(over="ignore"):
        first = mix(words(places) * np.uint64(0x9E3779B97F4A7C15) ^ mix(words(seed)))
        second = mix(first)
    unit = lambda bits: ((bits >> np.uint64(40)).astype(np.float64) + 0.5) / 2**24
    return torch.from_numpy(np.sqrt(-2 * np.log(unit(first))) * np.cos(2 * np.pi * unit(second))).float()


def pipeline(name="rvc_v2_40k", formants=(1.0, 1.25)):
    """One window through all that comes after the features, noise included."""
    saved = torch.load(DATA / f"{name}.pth", weights_only=True)
    net = reference.Generator(saved["config"], 768, True).eval()
    net.load_state_dict({key: value.float() for key, value in saved["weight"].items()})
    window, decoded, flow_head, start, phase = 46, 16, 6, 100, 0.25
    channels, rate, upp = saved["config"][2], 40_000, 400
    f0 = torch.where(torch.arange(window) % 10 < 7, 150.0 + 5.0 * torch.arange(window), torch.tensor(0.0))
    frames = np.arange(start + flow_head, start + window)
    noise = normal(0x5EED00002, frames[None, :] * channels + np.arange(channels)[:, None])[None]
    stages = {}
    for formant in formants:
        made = math.ceil(decoded * formant)
        stretch = made / decoded
        heard = f0[-decoded:][(torch.arange(made) / stretch).long()]
        cycles = phase + (heard.double() / stretch).repeat_interleave(upp).cumsum(0) / rate
        voiced = (heard > 0).repeat_interleave(upp)
        first = math.floor((start + window - decoded) * stretch + 0.5) * upp
        sine = 0.1 * torch.sin(2 * math.pi * cycles) * voiced
        level = torch.where(voiced, 0.003, 0.1 / 3)
        source = sine.float() + level * normal(0x5EED00001, first + np.arange(made * upp))
        phone = wave(window * 768, 0.37).view(1, window, 768)
        with torch.no_grad():
            g = net.emb_g(torch.tensor([0]))[..., None]
            mean, log_std = net.enc_p(phone, reference.coarse(f0 / formant)[None], flow_head)
            z = net.flow(mean + torch.exp(log_std) * noise * reference.NOISE_SCALE, g)[:, :, -decoded:]
            z = torch.nn.functional.interpolate(z, size=made, mode="linear")
            stages[f"formant_{formant}"] = net.dec(z, source[None], g)[0, 0].contiguous()
    save_file(stages, DATA / "rvc_pipeline.safetensors")
    print("pipeline", {key: float(value.abs().max()) for key, value in stages.items()})


def index(name, count, dim, lists, clusters, seed):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dim)).astype(np.float32) * 3
    data = (centres[rng.integers(0, clusters, count)] + rng.standard_normal((count, dim))).astype(np.float32)
    built = faiss.index_factory(dim, f"IVF{lists},Flat")
    faiss.extract_index_ivf(built).nprobe = 1
    # Lists spread wider than the vectors stay empty, and faiss then writes the sparse form.
    built.train(data if clusters > 2 else rng.standard_normal((lists * 40, dim)).astype(np.float32) * 4)
    built.add(data)
    faiss.write_index(built, str(DATA / f"{name}.index"))
    queries = (data[::13][:20] + 0.3 * rng.standard_normal((20, dim))).astype(np.float32)
    distances, ids = built.search(queries, 8)
    # RVC's blend: inverse squared distances, squared.
    weights = np.square(1 / distances)
    weights /= weights.sum(1, keepdims=True)
    mean = (data[ids] * weights[..., None]).sum(1) if (ids >= 0).all() else np.zeros_like(queries)
    tensors = {"queries": queries, "ids": ids.astype(np.float32), "distances": distances, "blend": mean}
    save_file({key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in tensors.items()}, DATA / f"{name}.safetensors")
    print(name, (DATA / f"{name}.index").stat().st_size, int((ids < 0).sum()))


def rmvpe():
    """F0 by RMVPE's way from sound to pitch, with a graph of one matrix in the place of the network."""
    import librosa

    n = np.arange(31 * 160, dtype=np.float64)
    sound = (0.3 * np.sin(0.08 * n + 40 * np.sin(0.0009 * n)) + 0.1 * np.sin(0.31 * n)) * (n > 1_500)
    spectrum = np.abs(librosa.stft(sound, n_fft=1024, hop_length=160, window="hann", pad_mode="reflect"))
    bands = librosa.filters.mel(sr=16_000, n_fft=1024, n_mels=128, fmin=30, fmax=8_000, htk=True)
    mel = np.log(np.maximum(bands @ spectrum, 1e-5))
    # What `tests/rvc/pitch.rs` builds: each pitch hears the bands around it.
    edges = librosa.mel_frequencies(n_mels=130, fmin=30, fmax=8_000, htk=True)[1:-1]
    cents = 20 * np.arange(360) + 1997.3794084376191
    distance = np.log2(edges[None, :] / (10 * 2 ** (cents[:, None] / 1200)))
    weights = np.exp(-((distance / 0.06) ** 2)) + 1e-9
    weights /= weights.sum(1, keepdims=True)
    salience = 1 / (1 + np.exp(-(weights @ mel)))
    best = salience.argmax(0)
    f0 = np.zeros(mel.shape[1])
    for frame, pitch in enumerate(best):
        near = slice(max(pitch - 4, 0), pitch + 5)
        share = salience[near, frame]
        if share.max() > 0.03:
            f0[frame] = 10 * 2 ** ((share * cents[near]).sum() / share.sum() / 1200)
    tensors = {"f0": f0, "mel": mel}
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) for key, value in tensors.items()}
    save_file(tensors, DATA / "rvc_rmvpe.safetensors")
    print("rmvpe", f0.round(1).tolist())


if __name__ == "__main__":
    if len(sys.argv) > 1:  # full size, for a check that is not committed: fixtures.py FOLDER
        folder = pathlib.Path(sys.argv[1])
        model("rvc_full", "v2", 40_000, [10, 10, 2, 2], [16, 16, 4, 4], True, True, 11, False, folder)
    else:
        model("rvc_v2_40k", "v2", 40_000, [10, 10, 2, 2], [16, 16, 4, 4], True, True, 1)
        model("rvc_v2_48k", "v2", 48_000, [12, 10, 2, 2], [24, 20, 4, 4], True, False, 2)
        model("rvc_v1_32k_plain", "v1", 32_000, [10, 4, 2, 2, 2], [16, 16, 4, 4, 4], False, True, 3)
        pipeline()
        rmvpe()
        index("rvc_full_lists", 600, 16, 8, 20, 4)
        index("rvc_sparse_lists", 300, 16, 64, 2, 5)
