"""Frame targets: phone numbers from the alignment; and the content network over a whole recording."""

import numpy as np
import torch

from . import align
from .data import PHONE_ID
from .mel import frames_in, mel


def frame_phones(segments, frames):
    """Phone number per frame of one aligned utterance."""
    phones = np.zeros(frames, np.int64)
    for phone, first, last in segments:
        phones[first : min(last + 1, frames)] = PHONE_ID[phone]
    return phones


def aligned(work, store):
    """Row number to phone number per frame, for all aligned utterances."""
    segments = align.load(work)
    return {row: frame_phones(found, frames_in(len(store.pcm(row)))) for row, found in segments.items()}


def run_net(network, audio, frames=None):
    """Phone log-probabilities and `h` of one clip, `[frames, ...]`, with the look-ahead taken off. `frames` `[1, n, 80]`
    stand for its mel frames."""
    with torch.no_grad():
        frames = mel(torch.from_numpy(audio)[None]) if frames is None else frames
        padded = torch.nn.functional.pad(frames, (0, 0, 0, network.look_ahead))
        logits, h = network(padded)
    late = network.look_ahead
    return torch.log_softmax(logits[0, late:].float(), 1), h[0, late:]
