"""Train the refiner on the pairs of `refine-pairs`: what came back, times the gains, has to be like the recording.

The network gets the phones that the shipped content encoder of mix mode reads in the recording, disguised as another
speaker: in a conversion the singer is never the target either.

Loss: distance of the log energies of 64 bands (smoothed over three frames, weighted by the recording's level), and
distance of the bins' compressed power. Phases stay as they are. On request the content encoder has to
read the same phones as in the recording. AdamW with a cosine over wall-clock time as in `encoder`; the EMA weights are
kept.
"""

import json
import math
import random
import time

import numpy as np
import soundfile
import soxr
import torch
from torch import nn
from torch.nn import functional as F

from . import augment, frozen
from . import net as content_net
from . import refine_net as net
from . import virtual
from .data import RATE, REPO, load_rows
from .mel import mel
from .refine_pairs import plan, voice_path

CLIPS, FRAMES = 8, 300
BANDS = 64
CHECK_SECONDS = 20
SILENT_MEL = (math.log(1e-6) + 7) / 3


class Store:
    """Resampled pairs in one flat file, what came back before the recording; pairs that are new are appended."""

    def __init__(self, speech, work):
        folder = work / "refine"
        index_path, data_path = folder / "pairs.json", folder / "pairs.f32"
        index = json.loads(index_path.read_text()) if index_path.exists() else {}
        voices = {chunk.name: chunk.voice for chunk in plan(load_rows(speech)).chunks}
        position = max((start + 2 * length for start, length in index.values()), default=0)
        with open(data_path, "r+b" if data_path.exists() else "w+b") as out:
            out.truncate(4 * position)  # of a pair that was interrupted
            out.seek(4 * position)
            for path in sorted((folder / "z").glob("*.wav")):
                if path.stem in index:
                    continue
                back = soundfile.read(path, dtype="float32")[0]
                clean, rate = soundfile.read(folder / "x" / f"{chunk_of(path.stem)}.wav", dtype="float32")
                common = min(len(back), len(clean))
                pair = [soxr.resample(audio[:common], rate, RATE).astype("<f4") for audio in (back, clean)]
                for audio in pair:
                    out.write(audio.tobytes())
                index[path.stem] = (position, len(pair[0]))
                position += 2 * len(pair[0])
        index_path.write_text(json.dumps(index))
        if len(index) < 8:
            raise SystemExit(f"refine: {len(index)} pairs in {folder}; `refine-pairs` makes them")
        samples = torch.from_numpy(np.fromfile(data_path, "<f4"))
        self.pairs = []
        for name, (start, length) in sorted(index.items()):
            voice = torch.from_numpy(net.voice_values(voice_path(folder, voices[chunk_of(name)])))
            self.pairs.append((*samples[start : start + 2 * length].split(length), voice))

    def split(self):
        """Pairs to train on, and every 25th to check with."""
        check = [pair for number, pair in enumerate(self.pairs) if number % 25 == 7]
        return [pair for number, pair in enumerate(self.pairs) if number % 25 != 7], check


def chunk_of(name):
    """Name of the chunk of a pair `NAME.TIME`."""
    return name.rsplit(".", 1)[0]


def bank():
    """Weights `[64, 241]` of triangles from 60 to 8000 Hz, equally spaced in mel; a narrow one takes its own bin."""
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    edges = np.linspace(mel(60), mel(8000), BANDS + 2)[:, None]
    bins = mel(np.linspace(0, 8000, net.BINS) + 1e-3)[None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0, np.minimum(rising, falling))
    weights /= np.maximum(weights.sum(1, keepdims=True), 1e-9)
    weights[weights.sum(1) == 0, 0] = 1
    return torch.tensor(weights, dtype=torch.float32)


class Loss:
    """How far gained spectra are from the recording's."""

    def __init__(self, device, content=0.0, compiled=False):
        self.bank, self.weight = bank().to(device), content
        self.content = frozen.content(REPO / "models" / "content_mix.onnx").to(device)
        self.read = torch.compile(self.content.forward) if compiled else self.content

    def phones(self, spectra):
        """Logarithms of the phones' probabilities, `[batch, frames, 40]`, as the encoder hears them."""
        audio = torch.istft(spectra, net.WINDOW, net.HOP, net.WINDOW, net.window_on(spectra.device), center=True)
        with content_net.half_precision(spectra.device.type):
            logits = self.read(mel(audio))[0][:, self.content.look_ahead :]
        return F.log_softmax(logits.float() / content_net.TEMPERATURE, 2)

    def said(self, rng, clean, moved=0):
        """What the network is told of the phones: probabilities `[batch, frames, 40]` read in the disguised recordings
        `[batch, samples]`. Frame k of the content encoder is centred where frame k + 1 of a spectrum is; `moved` frames
        later."""
        late = self.content.look_ahead
        with torch.no_grad():
            heard = augment.disguise(rng, clean.cpu(), [1.0] * len(clean), noisy=0.3, loudest=20).to(clean.device)
            with content_net.half_precision(clean.device.type):
                logits = self.read(F.pad(heard, (0, 0, 0, late), value=SILENT_MEL))[0][:, late:]
            phones = torch.softmax(logits.float() / content_net.TEMPERATURE, 2)
        phones = torch.cat([phones[:, :1], phones, phones[:, -1:]], 1)
        return phones.roll(moved, 1)

    def misread(self, gained, clean):
        """Divergence of the phones read after the refiner from those read in the recording, in nats a frame."""
        with torch.no_grad():
            wanted = self.phones(clean)
        return F.kl_div(self.phones(gained), wanted, reduction="none", log_target=True).sum(2).mean()

    def bands(self, power, floor):
        return torch.log(torch.einsum("mf,bft->bmt", self.bank, power) + floor)

    def smooth_bands(self, power):
        energy = torch.einsum("mf,bft->bmt", self.bank, power)
        return torch.log(F.avg_pool1d(F.pad(energy, (1, 1), mode="replicate"), 3, 1) + 1e-7)

    def parts(self, back, clean, gain):
        """Distance of the bands and of the bins, and the gained spectra; `gain` is `[batch, frames, 241]`."""
        gained = back * torch.exp(gain.transpose(1, 2))
        own, wanted = gained.abs().square(), clean.abs().square()
        weight = (torch.log(wanted.mean(1, keepdim=True) + 1e-9) + 16).clamp(0, 8) / 8
        bands = ((self.smooth_bands(own) - self.smooth_bands(wanted)).abs() * weight).mean()
        bins = ((own + 1e-9).pow(0.15) - (wanted + 1e-9).pow(0.15)).abs().mean()
        return bands, bins, gained


def batch(rng, pairs, virtual_share=0.6):
    """Cuts of 3 s at random levels: what came back, the recording, the voice. One in 25 came back unharmed; a share is
    turned into a virtual voice."""
    rows, length = [], FRAMES * net.HOP
    for _ in range(CLIPS):
        back, clean, voice = rng.choice(pairs)
        is_virtual = rng.random() < virtual_share
        scale = math.exp(rng.gauss(0, 0.07)) if is_virtual else 1.0
        needed = min(math.ceil(length * scale) + 64, len(back))
        start, gain = rng.randrange(0, len(back) - needed + 1), 10 ** rng.uniform(-0.5, 0.35)
        back, clean = back[start : start + needed] * gain, clean[start : start + needed] * gain
        if is_virtual:
            points = virtual.colour(rng)
            back, clean = (equalised(stretched(audio, scale, length), points) for audio in (back, clean))
            voice = torch.from_numpy(virtual.described(voice, points, scale))
        back, clean = back[:length], clean[:length]
        heard = clean if rng.random() < 0.04 else back
        rows.append((coloured(rng, heard) if rng.random() < 0.5 else heard, clean, voice))
    return [torch.stack(part) for part in zip(*rows)]


def stretched(audio, scale, length):
    """`length` samples of the sound with all frequencies multiplied by `scale`."""
    faster = torch.from_numpy(soxr.resample(audio.numpy(), RATE * scale, RATE)) if scale != 1 else audio
    return F.pad(faster[:length], (0, max(0, length - len(faster))))


def equalised(audio, points):
    """The sound through a smooth equaliser; `points` are gains in dB at equal distances up to 8 kHz."""
    spectrum = torch.fft.rfft(audio)
    points = torch.as_tensor(points, dtype=torch.float32)[None, None]
    decibels = F.interpolate(points, size=len(spectrum), mode="linear", align_corners=True)[0, 0]
    return torch.fft.irfft(spectrum * 10 ** (decibels / 20), len(audio))


def coloured(rng, audio):
    """The sound through a smooth random equaliser: the voice's mean shape says what to make of it."""
    return equalised(audio, virtual.colour(rng, 2.5))


def check(network, loss, pairs, device):
    """Distance of the bands and of the bins with the gains and without, mean over the pairs that are kept back."""
    found, rng = [], np.random.default_rng(0)
    length = min(CHECK_SECONDS * RATE, *(len(back) // net.HOP * net.HOP for back, _, _ in pairs))
    with torch.no_grad():
        for back, clean, voice in pairs:
            phones = loss.said(rng, clean[None, :length].to(device))
            back, clean = (net.stft(audio[None, :length].to(device)) for audio in (back, clean))
            gain = network(net.features(back), voice[None].to(device), phones)
            found.append([])
            for tried in (gain, torch.zeros_like(gain)):
                *distances, gained = loss.parts(back, clean, tried)
                found[-1] += map(float, [*distances, *([loss.misread(gained, clean)] if loss.weight else [])])
    return np.mean(found, 0).round(4).tolist()


class Training:
    """The network and its slow shadow; one `step` a batch."""

    def __init__(self, device, rate, content=0.0, compiled=False):
        self.device, self.rate = device, rate
        self.network, self.shadow = net.RefineNet().to(device), net.RefineNet().to(device)
        self.loss = Loss(device, content, compiled)
        self.gains = torch.compile(self.network.forward) if compiled else self.network
        self.optimiser = torch.optim.AdamW(self.network.parameters(), rate, weight_decay=0.01)
        self.shadow.load_state_dict(self.network.state_dict())
        self.steps, self.spent = 0, 0.0

    def parts(self):
        """Everything a checkpoint keeps by name."""
        return {"weights": self.shadow, "raw": self.network, "optimiser": self.optimiser}

    def save(self, path):
        state = {name: part.state_dict() for name, part in self.parts().items()}
        torch.save(state | {"spent": self.spent, "step": self.steps}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path):
        saved = torch.load(path, map_location=self.device, weights_only=True)
        for name, part in self.parts().items():
            if name in saved:
                part.load_state_dict(saved[name])
        self.steps, self.spent = saved["step"], saved["spent"]

    def step(self, progress, back, clean, voice):
        """One step at `progress` of the time, 0 to 1; the two distances and what was misread."""
        for group in self.optimiser.param_groups:
            warm = min(1, (self.steps + 1) / 100)
            group["lr"] = self.rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-5
        torch.manual_seed(self.steps)
        rng = np.random.default_rng(self.steps)
        # The engine's frames lie half a frame beside these.
        phones = self.loss.said(rng, clean, int(rng.integers(0, 2)))
        phones = phones * augment.chosen(rng, 0.9, len(clean)).to(clean.device)[:, None, None]
        back, clean = net.stft(back), net.stft(clean)
        with content_net.half_precision(back.device.type):
            gain = self.gains(net.features(back), voice, phones).float()
        bands, bins, gained = self.loss.parts(back, clean, gain)
        misread = self.loss.misread(gained, clean) if self.loss.weight else torch.zeros(())
        total = bands + 2 * bins + self.loss.weight * misread
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimiser.step()
        self.steps += 1
        keep = min(0.997, (self.steps + 1) / (self.steps + 30))
        with torch.no_grad():
            for old, new in zip(self.shadow.parameters(), self.network.parameters()):
                old.lerp_(new, 1 - keep)
        return float(bands.detach()), float(bins.detach()), float(misread.detach())


def run(speech, work, name, minutes, start=None, rate=1.5e-3, content=0.0, virtual_share=0.6):
    """Train checkpoint `name` for `minutes`, continuing one that was interrupted. `start` names another checkpoint, or
    is `shipped`."""
    torch.set_num_threads(1)
    device, path = "cuda" if torch.cuda.is_available() else "cpu", work / f"{name}.pt"
    train, kept = Store(speech, work).split()
    training = Training(device, rate, content, compiled=True)
    if path.exists():
        training.resume(path)
    elif start:
        is_shipped = start == "shipped"
        first = frozen.refiner(REPO / "models" / "refine.onnx") if is_shipped else net.load(work / f"{start}.pt")
        for network in (training.network, training.shadow):
            network.load_state_dict(first.state_dict())
    report = lambda: check(training.shadow, training.loss, kept, device)  # noqa: E731
    print(f"{len(train)} + {len(kept)} pairs; bands, bins, misread; the same unrefined:", report(), flush=True)
    rng, seen, last = random.Random(training.steps), [], time.time()
    while training.spent < minutes * 60:
        seen.append(training.step(training.spent / (minutes * 60), *(part.to(device) for part in batch(rng, train, virtual_share))))
        training.spent += time.time() - last
        last = time.time()
        if training.steps % 100 == 0:
            training.save(path)
            judged = report() if training.steps % 300 == 0 else ""
            mean = np.mean(seen[-100:], 0).round(4).tolist()
            print(f"{training.spent:.0f} s, step {training.steps},", mean, judged, flush=True)
            last = time.time()
    training.save(path)
    print(f"end: step {training.steps},", report())
