"""Write `models/refine.onnx` (one frame a call) and its parity file in `tests/data`.

`hidden` is what the last layer sees; adaptations of single voices are linear in it. The state is one flat tensor, 4 past
inputs per block. A call answers for the frame two before the one that was given:
the first block's sum uses the input of two frames ago, all others are of the present.
"""

import hashlib
import json

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from . import frozen
from . import refine_net as net
from .data import RATE
from .export import Graph, test_signal
from .refine_pairs import EMBEDDED

PARITY_CALLS = 40


def add_block(graph, block, x, past):
    """Output and new past of one block; `past` is `[1, 4 C]`."""
    width, taps = block.norm.normalized_shape[0], net.TAPS
    window = graph.node("Concat", [past, x], axis=1)
    weighted = graph.node("Mul", [window, graph.constant(block.filter.weight[:, 0].T.reshape(1, -1))])
    axis = graph.constant(np.array([0], np.int64))
    filtered = graph.node("ReduceSum", [graph.shape(weighted, taps, width), axis], keepdims=1)
    filtered = graph.node("Add", [filtered, graph.constant(block.filter.bias.reshape(1, -1))])
    hidden = graph.gelu(graph.linear(block.wide, graph.layer_norm(block.norm, filtered)))
    if block.look_ahead:
        x = graph.columns(window, (taps - 1 - block.look_ahead) * width, (taps - block.look_ahead) * width)
    return graph.node("Add", [x, graph.linear(block.narrow, hidden)]), graph.columns(window, width, taps * width)


def hidden_space(network):
    """Name of what `hidden` means: it changes with the weights."""
    weights = np.concatenate([weight.detach().numpy().ravel() for weight in network.parameters()])
    return hashlib.sha256(weights.astype("<f4").tobytes()).hexdigest()[:16]


def build(network, name="refine", known=(), shows_hidden=True):
    """The ONNX model of `network`; `known` are the ids of the voices that it knows well. `hidden` is among the outputs
    where adaptations are made to it."""
    graph, count = Graph(), len(network.blocks)
    sizes = graph.constant(np.array([(net.TAPS - 1) * network.channels] * count, np.int64))
    parts = graph.node("Split", ["state", sizes], count, axis=1)
    x = graph.node("Add", [graph.linear(network.input, "features"), graph.linear(network.voice, "voice")])
    x = graph.node("Add", [x, graph.node("MatMul", ["phones", graph.constant(network.phones.weight.T)])])
    pasts = []
    for block, past in zip(network.blocks, parts):
        x, kept = add_block(graph, block, x, past)
        pasts.append(kept)
    hidden = graph.layer_norm(network.norm, x)
    answer = graph.linear(network.head, hidden)
    answer = graph.node("Tanh", [graph.node("Mul", [answer, graph.scalar(1 / net.MAX_GAIN)])])
    outputs = {"gain": graph.node("Mul", [answer, graph.scalar(net.MAX_GAIN)])}
    if shows_hidden:
        outputs["hidden"] = hidden
    outputs["state_out"] = graph.node("Concat", pasts, axis=1)
    nodes = graph.nodes + [helper.make_node("Identity", [x], [name]) for name, x in outputs.items()]

    def value(name, length):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, length))

    inputs = [value("features", network.features), value("voice", net.VOICE_LEN), value("phones", net.PHONES)]
    inputs.append(value("state", network.state_len))
    lengths = {"gain": network.bins, "hidden": network.channels, "state_out": network.state_len}
    results = [value(output, lengths[output]) for output in outputs]
    body = helper.make_graph(nodes, name, inputs, results, graph.weights)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="coffre")
    model.metadata_props.add(key="look_ahead_frames", value=str(network.look_ahead))
    if shows_hidden:
        # Adaptations of voices are fitted to these hidden values and no others.
        model.metadata_props.add(key="hidden_space", value=hidden_space(network))
    if known:
        model.metadata_props.add(key="known_voices", value=",".join(known))
    onnx.checker.check_model(model)
    return model


def stream(path, frames, voice, phones):
    """Gains of each call `[n, 241]` for `frames` `[n, 242]`, `voice` `[128]` and `phones` `[n, 40]`, by ONNX Runtime from
    the zero state."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    state, gains = np.zeros(session.get_inputs()[3].shape, np.float32), []
    voice = np.asarray(voice, np.float32)[None]
    for frame, said in zip(np.asarray(frames, np.float32), np.asarray(phones, np.float32)):
        asked = {"features": frame[None], "voice": voice, "phones": said[None], "state": state}
        gain, state = session.run(["gain", "state_out"], asked)
        gains.append(gain[0])
    return np.array(gains)


def rounded(values, digits):
    return [round(float(value), digits) for value in values]


def parity(path):
    """What the graph at `path` answers to the test signal, the rounded numbers being what it was asked."""
    audio = torch.from_numpy(test_signal(PARITY_CALLS * net.HOP))
    frames = net.features(net.stft(audio[None]))[0, :PARITY_CALLS].numpy().round(4)
    voice = np.linspace(-1.5, 0.2, net.VOICE_LEN).round(4)
    phones = np.random.default_rng(0).dirichlet(np.full(net.PHONES, 0.1), PARITY_CALLS).round(4)
    return {
        "signal": "f32 of 0.1 sin(2 pi 220 n / 16000) + 0.05 sin(2 pi 1333 n / 16000) (n % 4000 < 1000)",
        "rate_hz": RATE,
        "look_ahead_frames": net.LOOK_AHEAD,
        "features": [rounded(row, 4) for row in frames],
        "voice": rounded(voice, 4),
        "phones": [rounded(row, 4) for row in phones],
        "gain": [rounded(row, 5) for row in stream(path, frames, voice, phones)],
    }


def known_voices(repo):
    """Ids of the embedded voices of people, whose recordings the first two rounds were trained on."""
    return [hashlib.sha256((repo / "models" / "voices" / f"{file}.coffre").read_bytes()).hexdigest() for _, file, _ in EMBEDDED]


def run(work, name, repo, is_for_any=False):
    """Export checkpoint `name`, the one that knows the embedded voices or the one `is_for_any` voice; without a name only
    the ids of the known voices are written anew."""
    path = repo / "models" / ("refine_any.onnx" if is_for_any else "refine.onnx")
    network = net.load(work / f"{name}.pt") if name else frozen.refiner(path)
    onnx.save(build(network, known=() if is_for_any else known_voices(repo)), path)
    if not is_for_any:
        target = repo / "tests" / "data" / "refine_parity.json"
        target.write_text(json.dumps(parity(path)) + "\n")
    print(f"refine-export: {path.name}, {path.stat().st_size / 1e6:.1f} MB, state {network.state_len}")
