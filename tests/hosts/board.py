"""pedalboard as a host: loads the bundle, renders in one go, or streams blocks as a session does."""

from collections.abc import Callable

import numpy as np
import pedalboard

from hosts import from_environment

VST3 = from_environment("COFFRE_VST3")


def load(**parameters: object) -> pedalboard.VST3Plugin:
    """A new instance with these parameters."""
    plugin = pedalboard.load_plugin(VST3)
    set_parameters(plugin, **parameters)
    return plugin


def set_parameters(plugin: pedalboard.VST3Plugin, **parameters: object) -> None:
    """Sets parameters by pedalboard's names for them."""
    for name, value in parameters.items():
        # Any other name would become an attribute of the Python object, without a word.
        assert name in plugin.parameters, f"no parameter {name} in {list(plugin.parameters)}"
        setattr(plugin, name, value)


def render(plugin: pedalboard.VST3Plugin, audio: np.ndarray, rate: int, block: int = 512) -> np.ndarray:
    """From the start, in blocks of one length, the delay compensated by the host."""
    return plugin.process(audio, rate, buffer_size=block, reset=True)


def stream(
    plugin: pedalboard.VST3Plugin,
    audio: np.ndarray,
    rate: int,
    sizes: list[int],
    before: Callable[[int], None] = lambda position: None,
) -> np.ndarray:
    """Through a fresh instance in blocks of these lengths; `before` is told each block's position.

    pedalboard does not compensate a stream that never was reset, so the delay is taken off here. The first block has
    to be the longest, or the host prepares the plugin anew on the way. Two samples of two channels would look like two
    channels of two samples to pedalboard, so a block has three or more.
    """
    assert sum(sizes) == audio.shape[1] and min(sizes) > 2 and sizes[0] == max(sizes)
    parts, position = [], 0
    for size in sizes:
        before(position)
        parts.append(plugin.process(audio[:, position : position + size], rate, buffer_size=sizes[0], reset=False))
        position += size
    latency = plugin.reported_latency_samples
    silence = np.zeros((len(audio), latency), np.float32)
    for begin in range(0, latency, sizes[0]):
        rest = silence[:, : max(3, min(sizes[0], latency - begin))]
        parts.append(plugin.process(rest, rate, buffer_size=sizes[0], reset=False))
    return np.concatenate(parts, axis=1)[:, latency : latency + audio.shape[1]]
