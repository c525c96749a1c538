"""Writes the small graphs on which the runtime gate and the content encoder are tested (needs `onnx` and `numpy`).

All have the contract of models/content.onnx. The weights are random but seeded, so the files are reproducible:
  content_random.onnx   answers, and content_random.json holds the answers as NumPy computes them
  content_nan.onnx      gives NaN once a band is below -100
  content_failing.onnx  fails inside the runtime once a band is above 100
  content_loud.onnx     fails inside the runtime once a band is above 1, as it is in the frames of a voice
  content_endless.onnx  loops for hours
  content_nokey.onnx    has no output `key`
  content_phones.onnx   names 39 phones
"""
import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper

here = pathlib.Path(__file__).parent
PHONES = "SIL AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
rng = np.random.default_rng(1)
W0 = (rng.standard_normal((80, 12)) / 9).astype(np.float32)
W1 = (rng.standard_normal((3, 12, 104)) / 6).astype(np.float32)


def value(name, shape):
    return h.make_tensor_value_info(name, T.FLOAT, shape)


def const(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def build(file, mel="mel", extra=(), key="key_raw", extra_init=(), with_key=True, phones=PHONES):
    nodes = [
        *extra,
        h.make_node("MatMul", [mel, "w0"], ["small"]),
        h.make_node("Tanh", ["small"], ["now"]),
        h.make_node("Concat", ["state", "now"], ["all"], axis=1),  # [1, 3, 12]
        h.make_node("Slice", ["all", "one", "three", "one"], ["state_out"]),  # axis 1: the newest two
        h.make_node("Reshape", ["all", "flat"], ["row"]),
        h.make_node("MatMul", ["row", "w1"], ["both"]),
        h.make_node("Split", ["both", "sizes"], ["logits", "key_raw"], axis=2),
        h.make_node("LogSoftmax", ["logits"], ["logp"], axis=2),
    ]
    outputs = [value("logp", [1, 1, 40]), value("state_out", [1, 2, 12])]
    if with_key:
        nodes.append(h.make_node("Identity", [key], ["key"]))
        outputs.insert(1, value("key", [1, 1, 64]))
    init = [
        const("w0", W0), const("w1", W1.reshape(36, 104)), const("one", np.array([1], np.int64)),
        const("three", np.array([3], np.int64)), const("flat", np.array([1, 1, 36], np.int64)),
        const("sizes", np.array([40, 64], np.int64)), *extra_init,
    ]
    graph = h.make_graph(nodes, "content", [value("mel", [1, 1, 80]), value("state", [1, 2, 12])], outputs, init)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    for name, text in {"look_ahead_frames": "2", "phones": " ".join(phones), "space": "test"}.items():
        model.metadata_props.add(key=name, value=text)
    onnx.checker.check_model(model)
    onnx.save(model, here / file)


build("content_random.onnx")
build("content_nokey.onnx", with_key=False)
build("content_phones.onnx", phones=PHONES[1:])
build("content_nan.onnx", key="key_nan", extra=[
    h.make_node("ReduceMin", ["mel"], ["least"], axes=[0, 1, 2], keepdims=1),
    h.make_node("Add", ["least", "hundred"], ["above"]),
    h.make_node("Sqrt", ["above"], ["root"]),
    h.make_node("Expand", ["root", "key_shape"], ["key_nan"]),
], extra_init=[const("hundred", np.array([[[100]]], np.float32)), const("key_shape", np.array([1, 1, 64], np.int64))])
build("content_failing.onnx", mel="picked", extra=[
    h.make_node("ReduceMax", ["mel"], ["most"], axes=[0, 1, 2], keepdims=0),
    h.make_node("Cast", ["most"], ["most_i"], to=T.INT64),
    h.make_node("Div", ["most_i", "hundred"], ["row_i"]),
    h.make_node("Gather", ["mel", "row_i"], ["row_g"], axis=0),
    h.make_node("Reshape", ["row_g", "mel_shape"], ["picked"]),
], extra_init=[const("hundred", np.array(100, np.int64)), const("mel_shape", np.array([1, 1, 80], np.int64))])
build("content_loud.onnx", mel="picked", extra=[
    h.make_node("ReduceMax", ["mel"], ["most"], axes=[0, 1, 2], keepdims=0),
    h.make_node("Relu", ["most"], ["most_p"]),
    h.make_node("Cast", ["most_p"], ["row_i"], to=T.INT64),
    h.make_node("Gather", ["mel", "row_i"], ["row_g"], axis=0),
    h.make_node("Reshape", ["row_g", "mel_shape"], ["picked"]),
], extra_init=[const("mel_shape", np.array([1, 1, 80], np.int64))])
body = h.make_graph(
    [h.make_node("Identity", ["go"], ["go_out"]), h.make_node("Sin", ["x"], ["x_out"])], "body",
    [h.make_tensor_value_info("i", T.INT64, []), h.make_tensor_value_info("go", T.BOOL, []), value("x", [1, 1, 80])],
    [h.make_tensor_value_info("go_out", T.BOOL, []), value("x_out", [1, 1, 80])])
build("content_endless.onnx", mel="last", extra=[h.make_node("Loop", ["trips", "", "mel"], ["last"], body=body)],
      extra_init=[const("trips", np.array(1 << 40, np.int64))])

state = np.zeros((2, 12), np.float64)
frames = []
for k in range(6):
    mel = np.round(rng.standard_normal(80), 3)
    now = np.tanh(mel @ W0.astype(np.float64))
    full = np.vstack([state, now])
    both = full.reshape(36) @ W1.reshape(36, 104).astype(np.float64)
    logits = both[:40]
    logp = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    frames.append({"mel": mel.tolist(), "logp": np.round(logp, 6).tolist(), "key": np.round(both[40:], 6).tolist()})
    state = full[1:]
(here / "content_random.json").write_text(json.dumps({"frames": frames}) + "\n")
