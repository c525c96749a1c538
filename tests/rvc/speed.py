"""Offline RVC conversion: Coffre beside the PyTorch pipeline, with the same weights, index, graph and machine.

    python tests/rvc/speed.py FOLDER COFFRE [--seconds 30] [--runs 3] [--int8]

FOLDER holds `rvc_full.pth` of `fixtures.py FOLDER` and gets the other files; COFFRE is a release build. Needs `torch`,
`onnx`, `numpy` and `faiss-cpu`; more than two processors are left alone. Both convert the same song in turns, as whole
processes: start, load, convert, write.

The PyTorch side is RVC's offline pipeline as published, in 32-bit floats and without gradients: a second of padding on
both sides, one piece up to 41 s, HuBERT-base over all of it, index search by faiss (8 neighbours, nprobe 1), generator
over all frames. It is spared what Coffre has to do: F0 (given), high-pass, level, resampling. The weights are random,
which costs as much as trained ones.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import time
import wave

THREADS = 2
RATE = 40_000
ROWS, DIM, LISTS = 20_000, 768, 512
INDEX_RATE, PROTECT = 0.75, 0.33


def hubert():
    """HuBERT-base with the layer names of nobody."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v, self.o = (nn.Linear(768, 768) for _ in range(4))
            self.up, self.down = nn.Linear(768, 3072), nn.Linear(3072, 768)
            self.norm_1, self.norm_2 = nn.LayerNorm(768), nn.LayerNorm(768)

        def forward(self, x):
            split = lambda y: y.view(1, -1, 12, 64).transpose(1, 2)
            y = F.scaled_dot_product_attention(split(self.q(x)), split(self.k(x)), split(self.v(x)))
            x = self.norm_1(x + self.o(y.transpose(1, 2).reshape(1, -1, 768)))
            return self.norm_2(x + self.down(F.gelu(self.up(x))))

    class Hubert(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [(1, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2]
            self.convs = nn.ModuleList(nn.Conv1d(i, 512, k, s, bias=False) for i, k, s in sizes)
            self.first_norm, self.norm = nn.GroupNorm(512, 512), nn.LayerNorm(512)
            self.project = nn.Linear(512, 768)
            self.places = nn.Conv1d(768, 768, 128, padding=64, groups=16)
            self.places_norm = nn.LayerNorm(768)
            self.layers = nn.ModuleList(Layer() for _ in range(12))

        def forward(self, source):
            x = source
            for number, conv in enumerate(self.convs):
                x = conv(x)
                x = F.gelu(self.first_norm(x) if number == 0 else x)
            x = self.project(self.norm(x.transpose(1, 2)))
            places = F.gelu(self.places(x.transpose(1, 2))[:, :, :-1])
            x = self.places_norm(x + places.transpose(1, 2))
            for layer in self.layers:
                x = layer(x)
            return x

    torch.manual_seed(3)
    return Hubert().eval()


def prepare(folder, seconds):
    """Song, index and both forms of the content network, unless they are there."""
    import faiss
    import numpy as np
    import torch

    song = folder / f"song_{seconds}.wav"
    if not song.exists():
        t = np.arange(16_000 * seconds) / 16_000
        f0 = 220 * 2 ** (0.5 * np.sin(2 * np.pi * 0.2 * t) + 0.02 * np.sin(2 * np.pi * 5.5 * t))
        phase = 2 * np.pi * np.cumsum(f0) / 16_000
        voice = sum(np.sin(n * phase) / n for n in range(1, 12)) * (0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * t))
        write(song, 16_000, 0.15 * voice)
    if not (folder / "voice.index").exists():
        vectors = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32)
        index = faiss.index_factory(DIM, f"IVF{LISTS},Flat")
        faiss.extract_index_ivf(index).nprobe = 1
        index.train(vectors)
        index.add(vectors)
        faiss.write_index(index, str(folder / "voice.index"))
    models = folder / "models"
    if not (models / "contentvec-768.onnx").exists():
        models.mkdir(exist_ok=True)
        net = hubert()
        torch.save(net.state_dict(), folder / "hubert.pt")
        axes = {"source": {2: "samples"}, "embed": {1: "frames"}}
        torch.onnx.export(
            net, (torch.randn(1, 1, 16_000),), str(models / "contentvec-768.onnx"), dynamo=False, opset_version=17,
            input_names=["source"], output_names=["embed"], dynamic_axes=axes,
        )
    return song


def write(path, rate, samples):
    import numpy as np

    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes())


def near_attention(reference):
    """Relative attention as RVC computes it, by shifting rows: what `reference.py` does by tables takes gigabytes here."""
    import torch
    from torch.nn import functional as F

    reach = reference.WINDOW

    def table(weights, frames):
        pad = max(frames - reach - 1, 0)
        first = max(reach + 1 - frames, 0)
        return F.pad(weights, (0, 0, pad, pad))[:, first : first + 2 * frames - 1]

    def to_place(x):
        _, heads, frames, _ = x.shape
        flat = F.pad(F.pad(x, (0, 1)).view(1, heads, -1), (0, frames - 1))
        return flat.view(1, heads, frames + 1, 2 * frames - 1)[:, :, :frames, frames - 1 :]

    def to_distance(x):
        _, heads, frames, _ = x.shape
        flat = F.pad(F.pad(x, (0, frames - 1)).view(1, heads, -1), (frames, 0))
        return flat.view(1, heads, frames, 2 * frames)[:, :, :, 1:]

    def forward(self, x):
        frames = x.shape[2]
        split = lambda y: y.view(1, self.heads, self.width, frames).transpose(2, 3)
        q, k, v = (split(conv(x)) for conv in (self.conv_q, self.conv_k, self.conv_v))
        q = q / math.sqrt(self.width)
        scores = q @ k.transpose(2, 3) + to_place(q @ table(self.emb_rel_k, frames)[:, None].transpose(2, 3))
        weights = scores.softmax(-1)
        y = weights @ v + to_distance(weights) @ table(self.emb_rel_v, frames)[:, None]
        return self.conv_o(y.transpose(2, 3).reshape(1, -1, frames))

    torch.manual_seed(1)
    plain = reference.Attention(32, 2)
    x = torch.randn(1, 32, 40)
    with torch.inference_mode():
        assert torch.allclose(forward(plain, x), plain(x), atol=1e-5), "the two ways disagree"
    reference.Attention.forward = forward


def convert(folder, song, output):
    """The PyTorch pipeline as one process; prints what it took once loaded."""
    import faiss
    import numpy as np
    import torch
    from torch.nn import functional as F

    import reference

    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)
    near_attention(reference)
    net = hubert_from(folder)
    saved = torch.load(folder / "rvc_full.pth", weights_only=True)
    generator = reference.Generator(saved["config"], DIM, True).eval()
    generator.load_state_dict({key: value.float() for key, value in saved["weight"].items()})
    for module in generator.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
    index = faiss.read_index(str(folder / "voice.index"))
    vectors = index.reconstruct_n(0, index.ntotal)
    with wave.open(str(song)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    begin = time.perf_counter()
    times = {}

    def lap(name):
        times[name] = round(time.perf_counter() - begin - sum(times.values()), 2)

    with torch.inference_mode():
        padded = np.pad(sound, 16_000, mode="reflect")
        assert len(sound) <= 41 * 16_000, "longer songs are cut, which is not written here"
        found = net(torch.from_numpy(padded)[None, None])
        lap("content")
        queries = found[0].numpy()
        distances, ids = index.search(queries, 8)
        weights = np.square(1 / distances)
        weights /= weights.sum(1, keepdims=True)
        blended = (vectors[ids] * weights[..., None]).sum(1)
        blended = torch.from_numpy(INDEX_RATE * blended + (1 - INDEX_RATE) * queries)[None]
        lap("index")
        twice = lambda x: F.interpolate(x.transpose(1, 2), scale_factor=2).transpose(1, 2)
        phone, plain = twice(blended), twice(found)
        frames = min(phone.shape[1], len(padded) // 160)
        phone, plain = phone[:, :frames], plain[:, :frames]
        f0 = 220 + 60 * torch.sin(torch.arange(frames) * 0.01)
        f0[::7] = 0
        kept = torch.where(f0 > 0, 1.0, PROTECT)[None, :, None]
        phone = phone * kept + plain * (1 - kept)
        source = reference.sine(f0, RATE, RATE // 100).float()
        source = (source + 0.003 * torch.randn_like(source))[None]
        noise = torch.randn(1, saved["config"][2], frames)
        audio = generator.stages(phone, reference.coarse(f0)[None], noise, source)["audio"][0, 0]
        lap("generator")
        audio = audio[RATE:-RATE].numpy()
    peak = np.abs(audio).max() / 0.99
    write(output, RATE, audio / max(peak, 1))
    print(json.dumps({"converting_seconds": time.perf_counter() - begin, "parts": times}))


def hubert_from(folder):
    import torch

    net = hubert()
    net.load_state_dict(torch.load(folder / "hubert.pt", weights_only=True))
    return net


def timed(command, environment):
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return time.perf_counter() - begin, json.loads(done.stdout)


def compare(options):
    folder = options.folder.resolve()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    song = prepare(folder, options.seconds)
    environment = os.environ | {
        "OMP_NUM_THREADS": str(THREADS), "COFFRE_MODELS": str(folder / "models"), "COFFRE_DEVICE": "cpu",
        "COFFRE_INT8": "1" if options.int8 else "0",
    }
    torch_side = [sys.executable, __file__, str(folder), "-", "--child", str(song)]
    coffre = [
        str(options.coffre.resolve()), "convert", str(song), "-o", str(folder / "coffre.wav"), "--voice",
        str(folder / "rvc_full.pth"), "--index", str(folder / "voice.index"), "--transpose", "0", "--likeness",
        str(round(100 * INDEX_RATE)), "--json",
    ]
    results = {"PyTorch": [], "Coffre": []}
    for run in range(options.runs):
        for name, command in (("PyTorch", torch_side), ("Coffre", coffre)):
            whole, report = timed(command, environment)
            results[name].append((whole, report["converting_seconds"]))
            converting, parts = report["converting_seconds"], report.get("parts", "")
            print(f"run {run + 1}, {name}: whole process {whole:.1f} s, converting {converting:.1f} s", parts)
    best = {name: [min(column) for column in zip(*rows)] for name, rows in results.items()}
    for place, what in enumerate(("whole process", "converting")):
        torch_time, coffre_time = best["PyTorch"][place], best["Coffre"][place]
        print(
            f"{what}, best of {options.runs}: PyTorch {torch_time:.1f} s, Coffre {coffre_time:.1f} s for {options.seconds} s"
            f" ({coffre_time / options.seconds:.2f} x real time): {torch_time / coffre_time:.2f} times as fast"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("coffre", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--int8", action="store_true", help="with 8-bit products in Coffre's content graph")
    parser.add_argument("--child", type=pathlib.Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        convert(chosen.folder, chosen.child, chosen.folder / "pytorch.wav")
    else:
        compare(chosen)
