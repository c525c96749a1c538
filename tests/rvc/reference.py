"""An independent implementation of RVC's generator network in PyTorch, written from its published description.

Only for the parity tests: random weights, the real architecture, module names as in checkpoints, so that a state dict
made here is what Coffre imports. Runs on the processor in 32-bit floats.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import weight_norm

WINDOW = 10  # relative attention looks this many frames to each side
NOISE_SCALE = 0.66666


class Attention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads, self.width = heads, channels // heads
        for name in ("conv_q", "conv_k", "conv_v", "conv_o"):
            setattr(self, name, nn.Conv1d(channels, channels, 1))
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * WINDOW + 1, self.width) * self.width**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * WINDOW + 1, self.width) * self.width**-0.5)

    def forward(self, x):
        frames = x.shape[2]
        split = lambda y: y.view(1, self.heads, self.width, frames).transpose(2, 3)
        q, k, v = (split(conv(x)) for conv in (self.conv_q, self.conv_k, self.conv_v))
        q = q / math.sqrt(self.width)
        # [frames, frames]: position of the key relative to the query; outside the window nothing is added.
        offset = torch.arange(frames)[None, :] - torch.arange(frames)[:, None] + WINDOW
        is_near = (offset >= 0) & (offset <= 2 * WINDOW)
        offset = offset.clamp(0, 2 * WINDOW)
        near_k = self.emb_rel_k[0][offset] * is_near[..., None]
        near_v = self.emb_rel_v[0][offset] * is_near[..., None]
        scores = q @ k.transpose(2, 3) + torch.einsum("bhic,ijc->bhij", q, near_k)
        weights = scores.softmax(-1)
        y = weights @ v + torch.einsum("bhij,ijc->bhic", weights, near_v)
        return self.conv_o(y.transpose(2, 3).reshape(1, -1, frames))


class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(1 + 0.1 * torch.randn(channels))
        self.beta = nn.Parameter(0.1 * torch.randn(channels))

    def forward(self, x):
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5).transpose(1, 2)


class FeedForward(nn.Module):
    def __init__(self, channels, hidden, kernel):
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, hidden, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(hidden, channels, kernel, padding=kernel // 2)

    def forward(self, x):
        return self.conv_2(torch.relu(self.conv_1(x)))


class Encoder(nn.Module):
    def __init__(self, hidden, filters, heads, layers, kernel):
        super().__init__()
        self.attn_layers = nn.ModuleList(Attention(hidden, heads) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(Norm(hidden) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(FeedForward(hidden, filters, kernel) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(Norm(hidden) for _ in range(layers))

    def forward(self, x):
        for attention, norm_1, ffn, norm_2 in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2
        ):
            x = norm_1(x + attention(x))
            x = norm_2(x + ffn(x))
        return x


class TextEncoder(nn.Module):
    def __init__(self, features, inter, hidden, filters, heads, layers, kernel, has_f0):
        super().__init__()
        self.hidden = hidden
        self.emb_phone = nn.Linear(features, hidden)
        if has_f0:
            self.emb_pitch = nn.Embedding(256, hidden)
        self.encoder = Encoder(hidden, filters, heads, layers, kernel)
        self.proj = nn.Conv1d(hidden, 2 * inter, 1)

    def forward(self, phone, pitch, head):
        x = self.emb_phone(phone)
        if pitch is not None:
            x = x + self.emb_pitch(pitch)
        x = F.leaky_relu(x * math.sqrt(self.hidden), 0.1).transpose(1, 2)
        x = self.encoder(x)[:, :, head:]
        return self.proj(x).chunk(2, 1)


class WaveNet(nn.Module):
    def __init__(self, hidden, kernel, layers, gin):
        super().__init__()
        self.hidden = hidden
        self.in_layers = nn.ModuleList(
            weight_norm(nn.Conv1d(hidden, 2 * hidden, kernel, padding=kernel // 2)) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            weight_norm(nn.Conv1d(hidden, (2 if i < layers - 1 else 1) * hidden, 1)) for i in range(layers)
        )
        self.cond_layer = weight_norm(nn.Conv1d(gin, 2 * hidden * layers, 1))

    def forward(self, x, g):
        total = 0
        conditions = self.cond_layer(g).chunk(len(self.in_layers), 1)
        for i, (layer, mix, condition) in enumerate(zip(self.in_layers, self.res_skip_layers, conditions)):
            a, b = (layer(x) + condition).chunk(2, 1)
            y = mix(torch.tanh(a) * torch.sigmoid(b))
            if i < len(self.in_layers) - 1:
                x = x + y[:, : self.hidden]
                y = y[:, self.hidden :]
            total = total + y
        return total


class Coupling(nn.Module):
    def __init__(self, channels, hidden, gin):
        super().__init__()
        self.half = channels // 2
        self.pre = nn.Conv1d(self.half, hidden, 1)
        self.enc = WaveNet(hidden, 5, 3, gin)
        self.post = nn.Conv1d(hidden, self.half, 1)

    def forward(self, x, g):
        a, b = x.split(self.half, 1)
        return torch.cat([a, b - self.post(self.enc(self.pre(a), g))], 1)


class Flow(nn.Module):
    def __init__(self, channels, hidden, gin):
        super().__init__()
        # Every second place is the flip of the channels, which has no weights.
        self.flows = nn.ModuleList(m for _ in range(4) for m in (Coupling(channels, hidden, gin), nn.Identity()))

    def forward(self, x, g):
        for coupling in [self.flows[i] for i in (6, 4, 2, 0)]:
            x = coupling(x.flip(1), g)
        return x


class ResBlock(nn.Module):
    def __init__(self, channels, kernel, dilations):
        super().__init__()
        conv = lambda d: weight_norm(nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2))
        self.convs1 = nn.ModuleList(conv(d) for d in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)

    def forward(self, x):
        for first, second in zip(self.convs1, self.convs2):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, 0.1)), 0.1))
        return x


class Source(nn.Module):
    def __init__(self):
        super().__init__()
        self.l_linear = nn.Linear(1, 1)


class Decoder(nn.Module):
    def __init__(self, inter, kernels, dilations, rates, initial, up_kernels, gin, has_f0):
        super().__init__()
        self.rates, self.block_count = rates, len(kernels)
        self.conv_pre = nn.Conv1d(inter, initial, 7, padding=3)
        self.cond = nn.Conv1d(gin, initial, 1)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        if has_f0:
            self.m_source, self.noise_convs = Source(), nn.ModuleList()
        for i, (rate, kernel) in enumerate(zip(rates, up_kernels)):
            channels = initial >> (i + 1)
            up = nn.ConvTranspose1d(2 * channels, channels, kernel, rate, padding=(kernel - rate) // 2)
            self.ups.append(weight_norm(up))
            if has_f0:
                stride = math.prod(rates[i + 1 :])
                noise = (
                    nn.Conv1d(1, channels, 2 * stride, stride, padding=stride // 2)
                    if stride > 1
                    else nn.Conv1d(1, channels, 1)
                )
                self.noise_convs.append(noise)
            for k, d in zip(kernels, dilations):
                self.resblocks.append(ResBlock(channels, k, d))
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=False)

    def forward(self, z, source, g):
        x = self.conv_pre(z) + self.cond(g)
        excitation = None
        if source is not None:
            excitation = torch.tanh(self.m_source.l_linear(source[..., None]))[..., 0]
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, 0.1))
            if excitation is not None:
                x = x + self.noise_convs[i](excitation)
            blocks = self.resblocks[i * self.block_count : (i + 1) * self.block_count]
            x = sum(block(x) for block in blocks) / self.block_count
        return torch.tanh(self.conv_post(F.leaky_relu(x)))


class Generator(nn.Module):
    """`config` is the list of 18 entries as checkpoints hold it."""

    def __init__(self, config, features, has_f0):
        super().__init__()
        _, _, inter, hidden, filters, heads, layers, kernel, _, _, kernels, dilations, rates, initial, ups, spk, gin, _ = (
            config
        )
        self.enc_p = TextEncoder(features, inter, hidden, filters, heads, layers, kernel, has_f0)
        self.dec = Decoder(inter, kernels, dilations, rates, initial, ups, gin, has_f0)
        self.flow = Flow(inter, hidden, gin)
        self.emb_g = nn.Embedding(spk, gin)

    @torch.no_grad()
    def stages(self, phone, pitch, noise, source, speaker=0, flow_head=0, decode_head=0):
        g = self.emb_g(torch.tensor([speaker]))[..., None]
        mean, log_std = self.enc_p(phone, pitch, flow_head)
        z = self.flow(mean + torch.exp(log_std) * noise * NOISE_SCALE, g)
        return {"mean": mean, "log_std": log_std, "z": z, "audio": self.dec(z[:, :, decode_head:], source, g)}


def sine(f0_hz, rate, samples_per_frame):
    """The excitation without noise: the F0 of a frame holds for the whole frame, the phase runs on. Shape [samples]."""
    per_sample = f0_hz.double().repeat_interleave(samples_per_frame) / rate
    return 0.1 * torch.sin(2 * math.pi * per_sample.cumsum(0)) * (per_sample > 0)


def coarse(f0_hz):
    """Pitch class 1..255 of a frame."""
    mel = 1127 * torch.log1p(f0_hz.double() / 700)
    low, high = (1127 * math.log1p(edge / 700) for edge in (50, 1100))
    scaled = torch.where(mel > 0, (mel - low) * 254 / (high - low) + 1, mel)
    return scaled.clamp(1, 255).round().long()


def checkpoint(model, config, version, rate, has_f0, is_half, **extra):
    """The dict that RVC saves: weights of the generator, without what only training needs."""
    cast = lambda t: t.half() if is_half else t
    weight = {name: cast(value.detach().contiguous()) for name, value in model.state_dict().items()}
    return {"weight": weight, "config": config, "info": "1epoch", "sr": rate, "f0": int(has_f0), "version": version, **extra}
