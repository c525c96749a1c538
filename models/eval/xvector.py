"""A second opinion on who speaks: an x-vector network (SincNet and time-delay layers, waveform to 512 numbers; Bredin et al.
2020, "pyannote.audio", MIT).

The package `moonshine-voice` 0.0.49 carries it inside its library, as the bytes of one symbol; they are read from there when
the judge starts. It is a measuring aid and nothing of it is shipped. Later versions of the package do not have it. Strangers
lie at a cosine of about 0.1, where resemblyzer puts them at 0.55, so it has more room.
"""

import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

SYMBOL = b"speaker_embedding_model_ort_bytes"
RATE = 16000
SHORTEST = RATE  # shorter sounds are repeated: the network's statistics need some frames


def library():
    """The package's library."""
    found = find_spec("moonshine_voice")
    if found is None:
        raise SystemExit("the judge needs the package moonshine-voice 0.0.49, see eval/requirements-nodeps.txt")
    path = Path(found.origin).parent / "libmoonshine.so"
    if not path.exists():
        raise SystemExit(f"{path} is missing: the x-vector is read from the package's Linux library")
    return path


def symbol(elf, name):
    """The bytes of a data symbol of a 64-bit little-endian ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    start, size, count = struct.unpack_from("<Q", elf, 0x28)[0], *struct.unpack_from("<HH", elf, 0x3A)
    # Of each section: type, address, offset, length, and the number of the one it refers to.
    sections = [struct.unpack_from("<I8xQQQI", elf, start + n * size + 4) for n in range(count)]
    for kind, _, offset, length, link in sections:
        if kind not in (2, 11):  # symbol tables, of the linker and of the loader
            continue
        names = sections[link][2]
        for place in range(offset, offset + length, 24):
            at, _, _, section, address, extent = struct.unpack_from("<IBBHQQ", elf, place)
            if extent and elf.startswith(name + b"\0", names + at):
                _, base, begin, _, _ = sections[section]
                return elf[begin + address - base :][:extent]
    raise ValueError(f"there is no symbol {name.decode()}: moonshine-voice 0.0.49 has it, later ones do not")


class XVector:
    """Embeddings of length 1."""

    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = symbol(library().read_bytes(), SYMBOL)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.given = self.session.get_inputs()[0]

    def embed(self, audio):
        audio = np.tile(audio, -(-SHORTEST // max(len(audio), 1)))[: max(len(audio), SHORTEST)].astype(np.float32)
        audio = audio[(None,) * (len(self.given.shape) - 1)]
        found = self.session.run(None, {self.given.name: audio})[0].reshape(-1)
        return found / max(float(np.linalg.norm(found)), 1e-9)
