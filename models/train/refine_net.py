"""The refiner's network: magnitude gains per bin for a converted voice, frame by frame.

Spectra are of samples at 16 kHz: frame k is centred at sample 160 k, 480 samples long, under the root of a periodic
Hann window before and after, 241 bins. `src/engine/native/refine.rs` computes the same features; the network gets
the target voice's mean shapes, and the phones' probabilities as the content encoder of mix mode reads them in the singer's
own sound (zeros where nothing is known). The first block looks two frames ahead, all others look back only,
with zeros before the start, so that a zero-filled state is what training sees.
"""

import zipfile

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HOP, WINDOW = 160, 480
BINS = WINDOW // 2 + 1
FEATURES, VOICE_LEN, PHONES = BINS + 1, 128, 40
CHANNELS, BLOCKS, TAPS, LOOK_AHEAD = 192, 7, 5, 2
MAX_GAIN = 2.5  # natural logarithm of amplitude: 22 dB
FLOOR, LEAST_LEVEL, FORGETTING = 1e-9, 1e-7, 0.01
SHAPE_BANDS, KNOWN_BANDS = 86, 64  # bands of a voice's mean shape, and those below 8 kHz


def window_on(device):
    return torch.hann_window(WINDOW, device=device).sqrt()


def stft(audio):
    """Complex spectra `[batch, 241, frames]` of `[batch, samples]`, zeros before and after."""
    window = window_on(audio.device)
    return torch.stft(audio, WINDOW, HOP, WINDOW, window, center=True, pad_mode="constant", return_complex=True)


def features(spectra):
    """Network input `[batch, frames, 242]`: log power of the bins relative to the recent level, and the frame's level.

    The recent level forgets 1 % a frame and starts with the first frame's own.
    """
    power = spectra.abs().square() + FLOOR
    energy = power.mean(1)
    levels, level = [], energy[:, 0]
    for now in energy.unbind(1):
        level = ((1 - FORGETTING) * level + FORGETTING * now).clamp(min=LEAST_LEVEL)
        levels.append(level)
    recent = torch.log(torch.stack(levels, 1))
    bins = (torch.log(power.transpose(1, 2)) - recent[:, :, None]).clamp(-14, 8) / 4
    own = (torch.log(energy) - recent).clamp(-10, 5) / 3
    return torch.cat([bins, own[:, :, None]], 2)


def voice_values(path):
    """What the network is told of the voice file at `path`: mean voiced and unvoiced shape up to 8 kHz, `[128]`."""
    with zipfile.ZipFile(path) as voice:
        shapes = np.frombuffer(voice.read("stats/shapes"), "<f4").reshape(2, SHAPE_BANDS)
    return (shapes[:, :KNOWN_BANDS] / 4).astype(np.float32).reshape(-1)


class Block(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron per frame, added to the input."""

    def __init__(self, channels, look_ahead):
        super().__init__()
        self.look_ahead = look_ahead
        self.filter = nn.Conv1d(channels, channels, TAPS, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 3 * channels)
        self.narrow = nn.Linear(3 * channels, channels)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x):
        """`[batch, frames, channels]` to the same shape."""
        padded = F.pad(x, (0, 0, TAPS - 1 - self.look_ahead, self.look_ahead))
        taps = self.filter.weight[:, 0].T  # shifted sums, which compile to less than half of a grouped convolution
        filtered = self.filter.bias + sum(padded[:, tap : tap + x.shape[1]] * taps[tap] for tap in range(TAPS))
        return x + self.narrow(F.gelu(self.wide(self.norm(filtered)), approximate="tanh"))


class RefineNet(nn.Module):
    """Features, voice and phones to gains. Untrained it changes nothing: every gain is exactly 0. Other sizes than the
    refiner's own are the corrector's (`correct`)."""

    def __init__(self, features=FEATURES, bins=BINS, channels=CHANNELS, blocks=BLOCKS, look_ahead=LOOK_AHEAD):
        super().__init__()
        self.features, self.bins, self.channels, self.look_ahead = features, bins, channels, look_ahead
        self.input = nn.Linear(features, channels)
        self.voice = nn.Linear(VOICE_LEN, channels)
        self.phones = nn.Linear(PHONES, channels, bias=False)
        self.blocks = nn.ModuleList(Block(channels, look_ahead if number == 0 else 0) for number in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, bins)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.zeros_(self.phones.weight)

    def forward(self, frames, voice, phones):
        """`[batch, frames, features]`, `[batch, 128]` and `[batch, frames, 40]` to natural logarithms of amplitude
        `[batch, frames, bins]`."""
        x = self.input(frames) + self.voice(voice)[:, None] + self.phones(phones)
        for block in self.blocks:
            x = block(x)
        return MAX_GAIN * torch.tanh(self.head(self.norm(x)) / MAX_GAIN)

    @property
    def state_len(self):
        """Length of the packed state: 4 past inputs of each block."""
        return len(self.blocks) * (TAPS - 1) * self.channels


def load(path):
    """The network of a checkpoint, as `refine` writes it; one from before the phones makes nothing of them."""
    network = RefineNet()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["weights"], strict=False)
    return network.eval()
