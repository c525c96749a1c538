"""Networks read back from the graphs that ship, for training that builds on them where no checkpoint was kept.

`export` and `refine_export` write the weights of a network in the order in which it uses them, matrices transposed.
"""

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from . import net, refine_net


class Weights:
    """The trained numbers of a graph, in order; its scalars and whole numbers belong to the graph itself."""

    def __init__(self, path):
        arrays = [numpy_helper.to_array(weight) for weight in onnx.load(path).graph.initializer]
        self.rest = [array for array in arrays if array.dtype == np.float32 and array.size > 1]

    def take(self, parameter, transpose=False):
        value = torch.from_numpy(self.rest.pop(0).copy())
        parameter.data.copy_((value.T if transpose else value).reshape(parameter.shape))

    def linear(self, layer):
        self.take(layer.weight, transpose=True)
        self.take(layer.bias)

    def norm(self, layer):
        self.take(layer.weight)
        self.take(layer.bias)


def content(path):
    """The content network of `content.onnx` or `content_mix.onnx`; what scaled its blocks is in their last layer."""
    look_ahead = {prop.key: prop.value for prop in onnx.load(path).metadata_props}["look_ahead_frames"]
    weights = Weights(path)
    delays = {"2": net.live, "16": net.mix}[look_ahead]().config["delays"]
    network = net.ContentNet(weights.rest[0].shape[1], delays)
    weights.linear(network.input)
    for block in network.blocks:
        weights.take(block.taps)
        weights.take(block.bias)
        weights.norm(block.norm)
        weights.linear(block.wide)
        weights.linear(block.narrow)
        torch.nn.init.ones_(block.scale)
    weights.norm(network.norm)
    weights.linear(network.head)
    return network.eval().requires_grad_(False)


def projection(path):
    """The key projection `[64, channels + 40]` of a content graph, its last weights."""
    return np.ascontiguousarray(Weights(path).rest[-1].T)


def refiner(path):
    """The network of `refine.onnx`."""
    network, weights = refine_net.RefineNet(), Weights(path)
    weights.linear(network.input)
    weights.linear(network.voice)
    if weights.rest[0].shape == (refine_net.PHONES, refine_net.CHANNELS):
        weights.take(network.phones.weight, transpose=True)
    for block in network.blocks:
        taps = weights.rest[0].reshape(refine_net.TAPS, refine_net.CHANNELS)
        weights.rest[0] = np.ascontiguousarray(taps.T)
        weights.take(block.filter.weight)
        weights.take(block.filter.bias)
        weights.norm(block.norm)
        weights.linear(block.wide)
        weights.linear(block.narrow)
    weights.norm(network.norm)
    weights.linear(network.head)
    assert not weights.rest, "not a refiner of this shape"
    return network.eval()
