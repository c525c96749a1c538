"""The content network: causal ConvNeXt-style blocks over mel frames.

Every convolution looks back only, with zeros before the start. Look-ahead is delay: output k belongs to frame
k - `look_ahead`, and a block with delay d adds its result to the input of d frames ago, so that its kernel is centred.
Zero-filled state is therefore exactly what training sees before a clip. Block after Liu et al. 2022 (ConvNeXt) in 1-D.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .mel import BANDS

INPUT_TAPS, TAPS = 5, 9
CLASSES, KEY_DIM, TEMPERATURE = 40, 64, 1.5


class Block(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron per frame, added to the delayed input."""

    def __init__(self, channels, delay, expand=3):
        super().__init__()
        self.delay = delay
        self.taps = nn.Parameter(torch.randn(TAPS, channels) * TAPS**-0.5)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, channels * expand)
        self.narrow = nn.Linear(channels * expand, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x):
        """`[batch, frames, channels]` to the same shape."""
        padded = F.pad(x, (0, 0, TAPS - 1, 0))  # shifted sums, which compile to less than half of a grouped convolution
        filtered = self.bias + sum(padded[:, tap : tap + x.shape[1]] * self.taps[tap] for tap in range(TAPS))
        delayed = F.pad(x, (0, 0, self.delay, 0))[:, : x.shape[1]] if self.delay else x
        hidden = F.gelu(self.wide(self.norm(filtered)), approximate="tanh")
        return delayed + self.scale * self.narrow(hidden)


class ContentNet(nn.Module):
    """Mel frames to phone logits and to the features `h` before the last layer."""

    def __init__(self, channels=160, delays=(1, 1, 0, 0, 0, 0, 0, 0)):
        super().__init__()
        self.config = {"channels": channels, "delays": list(delays)}
        self.look_ahead = sum(delays)
        self.channels = channels
        self.input = nn.Linear(INPUT_TAPS * BANDS, channels)
        self.blocks = nn.ModuleList(Block(channels, delay) for delay in delays)
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, CLASSES)

    def forward(self, mel):
        """`[batch, frames, 80]` to logits `[batch, frames, 40]` and `h` `[batch, frames, channels]`."""
        padded = F.pad(mel, (0, 0, INPUT_TAPS - 1, 0))
        windows = padded.unfold(1, INPUT_TAPS, 1).transpose(2, 3).flatten(2)
        x = self.input(windows)
        for block in self.blocks:
            x = block(x)
        h = self.norm(x)
        return self.head(h), h

    @property
    def state_len(self):
        """Length of the packed state: 4 past mel frames, then 8 past inputs of each block."""
        return (INPUT_TAPS - 1) * BANDS + len(self.blocks) * (TAPS - 1) * self.channels

    def adopt(self, weights, delays):
        """Start from the `weights` of a network with other block `delays`: kernels move so that they keep looking at
        the same frames; what falls outside the nine taps is lost."""
        weights = dict(weights)
        for number, (block, old) in enumerate(zip(self.blocks, delays)):
            taps = weights[f"blocks.{number}.taps"]
            moved, shift = torch.zeros_like(taps), block.delay - old
            moved[: TAPS - shift] = taps[shift:]
            weights[f"blocks.{number}.taps"] = moved
        self.load_state_dict(weights)


def half_precision(device):
    """Context in which a training step takes bfloat16 where the processor has instructions for it; elsewhere it would
    take three times as long."""
    has = device == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device, torch.bfloat16, enabled=has)


def live():
    """The network of live mode: 2 frames of look-ahead."""
    return ContentNet(channels=192)


def mix():
    """The network of mix mode: 16 frames of look-ahead."""
    return ContentNet(channels=256, delays=(4, 4, 4, 4, 0, 0, 0, 0))


def load(path):
    """Network and its checkpoint dictionary."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    net = ContentNet(**saved["config"])
    net.load_state_dict(saved["weights"])
    return net.eval(), saved
