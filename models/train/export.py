"""Stage 7: write `models/content.onnx` or `content_mix.onnx` (one frame per call) and its parity file in `tests/data`.

The graph is built node by node: T = 1 is fixed, activations are `[1, C]`, the state is one flat tensor that a single
Split takes apart. GELU's tanh form is written as x * sigmoid(2 u), which is the same function.
"""

import json

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from . import net
from .data import PHONES, RATE
from .mel import BANDS, HOP, WINDOW, mel

SPACE = "coffre-c2"
STEMS = {2: "content", 16: "content_mix"}
PARITY_CALLS = 21


class Graph:
    """Collects nodes and weights; every method returns the name of its result."""

    def __init__(self):
        self.nodes, self.weights, self.names = [], [], 0

    def constant(self, array):
        self.names += 1
        name = f"w{self.names}"
        array = array.detach().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind, inputs, outputs=1, **attributes):
        names = [f"x{self.names + i + 1}" for i in range(outputs)]
        self.names += outputs
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def scalar(self, value):
        return self.constant(np.float32(value))

    def linear(self, layer, x):
        return self.node("Gemm", [x, self.constant(layer.weight.T), self.constant(layer.bias)])

    def layer_norm(self, layer, x):
        return self.node("LayerNormalization", [x, self.constant(layer.weight), self.constant(layer.bias)], epsilon=layer.eps)

    def gelu(self, x):
        inner = self.node("Mul", [self.node("Mul", [x, x]), self.scalar(2 * 0.044715 * (2 / np.pi) ** 0.5)])
        inner = self.node("Mul", [self.node("Add", [inner, self.scalar(2 * (2 / np.pi) ** 0.5)]), x])
        return self.node("Mul", [x, self.node("Sigmoid", [inner])])

    def shape(self, x, *sizes):
        return self.node("Reshape", [x, self.constant(np.array(sizes, np.int64))])

    def columns(self, x, first, end):
        ends = [self.constant(np.array([v], np.int64)) for v in (first, end, 1)]
        return self.node("Slice", [x, *ends])

    def block(self, block, x, past, channels):
        """Output and new past of one block; `past` is `[1, 8 C]`."""
        window = self.node("Concat", [past, x], axis=1)
        weighted = self.node("Mul", [window, self.constant(block.taps.reshape(1, -1))])
        axis = self.constant(np.array([0], np.int64))
        filtered = self.node("ReduceSum", [self.shape(weighted, net.TAPS, channels), axis], keepdims=1)
        filtered = self.node("Add", [filtered, self.constant(block.bias.reshape(1, -1))])
        hidden = self.gelu(self.linear(block.wide, self.layer_norm(block.norm, filtered)))
        scaled = torch.nn.Linear(1, 1)
        scaled.weight = torch.nn.Parameter(block.narrow.weight * block.scale[:, None])
        scaled.bias = torch.nn.Parameter(block.narrow.bias * block.scale)
        if block.delay:
            x = self.columns(window, (net.TAPS - 1 - block.delay) * channels, (net.TAPS - block.delay) * channels)
        return self.node("Add", [x, self.linear(scaled, hidden)]), self.columns(window, channels, net.TAPS * channels)


def build(network, projection):
    """The ONNX model of `network` and the key `projection` `[64, channels + 40]`."""
    graph, channels = Graph(), network.channels
    sizes = [(net.INPUT_TAPS - 1) * BANDS] + [(net.TAPS - 1) * channels] * len(network.blocks)
    parts = graph.node("Split", ["state", graph.constant(np.array(sizes, np.int64))], len(sizes), axis=1)
    window = graph.node("Concat", [parts[0], graph.shape("mel", 1, BANDS)], axis=1)
    pasts = [graph.columns(window, BANDS, net.INPUT_TAPS * BANDS)]
    # torch flattens windows as [tap, band], oldest tap first: the same order as the concatenation
    x = graph.linear(network.input, window)
    for block, past in zip(network.blocks, parts[1:]):
        x, kept = graph.block(block, x, past, channels)
        pasts.append(kept)
    h = graph.layer_norm(network.norm, x)
    logits = graph.node("Mul", [graph.linear(network.head, h), graph.scalar(1 / net.TEMPERATURE)])
    logp = graph.node("LogSoftmax", [logits], axis=1)
    floored = graph.node("Max", [logp, graph.scalar(-9.0)])
    both = graph.node("Concat", [h, floored], axis=1)
    key = graph.node("MatMul", [both, graph.constant(projection.T.astype(np.float32))])
    outputs = {"logp": graph.shape(logp, 1, 1, net.CLASSES), "key": graph.shape(key, 1, 1, net.KEY_DIM)}
    outputs["state_out"] = graph.node("Concat", pasts, axis=1)
    nodes = graph.nodes + [helper.make_node("Identity", [x], [name]) for name, x in outputs.items()]

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [value("mel", 1, 1, BANDS), value("state", 1, network.state_len)]
    results = [
        value("logp", 1, 1, net.CLASSES),
        value("key", 1, 1, net.KEY_DIM),
        value("state_out", 1, network.state_len),
    ]
    body = helper.make_graph(nodes, "content", inputs, results, graph.weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="coffre")
    facts = {"look_ahead_frames": network.look_ahead, "phones": ",".join(PHONES), "key_dim": net.KEY_DIM}
    facts |= {"space": SPACE, "mel": "m1", "logp_temperature": net.TEMPERATURE}
    for name, fact in facts.items():
        model.metadata_props.add(key=name, value=str(fact))
    onnx.checker.check_model(model)
    return model


def test_signal(samples):
    """The input of the parity file, in f64 then cast."""
    n = np.arange(samples, dtype=np.float64)
    tone = 0.1 * np.sin(2 * np.pi * 220 * n / RATE)
    burst = 0.05 * np.sin(2 * np.pi * 1333 * n / RATE) * (n % 4000 < 1000)
    return (tone + burst).astype(np.float32)


def stream(path, frames):
    """`logp` and `key` of each call for normalised mel `frames` `[n, 80]`, by ONNX Runtime from the zero state."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    state = np.zeros(session.get_inputs()[1].shape, np.float32)
    logps, keys = [], []
    for frame in np.asarray(frames, np.float32):
        logp, key, state = session.run(None, {"mel": frame[None, None], "state": state})
        logps.append(logp[0, 0])
        keys.append(key[0, 0])
    return np.array(logps), np.array(keys)


def run(speech, work, name, repo):
    """Export checkpoint `name` with its key projection into `repo`, or any folder that has `models` and `tests`."""
    network = net.load(work / f"{name}.pt")[0]
    stem = STEMS[network.look_ahead]
    path = repo / "models" / f"{stem}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build(network, np.load(work / f"{name}.key.npy")), path)
    frames = mel(torch.from_numpy(test_signal((PARITY_CALLS - 1) * HOP + WINDOW))[None])[0].numpy()
    logp, key = stream(path, frames)
    parity = {
        "signal": "f32 of 0.1 sin(2 pi 220 n / 16000) + 0.05 sin(2 pi 1333 n / 16000) (n % 4000 < 1000)",
        "rate_hz": RATE,
        "samples": (PARITY_CALLS - 1) * HOP + WINDOW,
        "look_ahead_frames": network.look_ahead,
        "mel": [[round(float(v), 6) for v in row] for row in frames],
        "logp": [[round(float(v), 5) for v in row] for row in logp],
        "key": [[round(float(v), 5) for v in row] for row in key],
    }
    target = repo / "tests" / "data" / f"{stem}_parity.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(parity) + "\n")
    print(f"export: {path.name}, {path.stat().st_size / 1e6:.1f} MB, state {network.state_len}")
