"""What `coffre convert` reads, against libsndfile: files that it writes, and files with headers as people have them.

Nothing is converted (`--mix 0`), so the output holds the samples as they were read.
"""

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

import hosts

COMMAND = hosts.from_environment("COFFRE_COMMAND")
RATE = 48_000
VOCAL = hosts.vocal(RATE, 1.0, 1)[0].astype(np.float64)
INTEGERS = (VOCAL * 32_767).round().astype("<i2")

# Container, coding, byte order (`None`: the usual one), and the largest difference from what libsndfile reads: lossy decoders
# differ in rounding, ADPCM adds it up within a block.
WRITTEN = [
    *[("WAV", coding, None, 0) for coding in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")],
    ("WAV", "IMA_ADPCM", None, 0.05),
    ("WAV", "MS_ADPCM", None, 0.05),
    ("WAVEX", "PCM_24", None, 0),
    ("RF64", "PCM_16", None, 0),
    ("RF64", "FLOAT", None, 0),
    ("W64", "PCM_16", None, 0),
    ("W64", "PCM_24", None, 0),
    ("W64", "FLOAT", None, 0),
    ("WAV", "PCM_16", "BIG", 0),
    ("WAV", "FLOAT", "BIG", 0),
    *[("AU", coding, None, 0) for coding in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")],
    ("AU", "PCM_16", "LITTLE", 0),
    *[("AIFF", coding, None, 0) for coding in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")],
    ("AIFF", "PCM_16", "LITTLE", 0),
    ("CAF", "PCM_16", None, 0),
    ("CAF", "PCM_24", None, 0),
    ("CAF", "FLOAT", None, 0),
    ("CAF", "ALAC_16", None, 0),
    ("CAF", "ALAC_24", None, 0),
    ("FLAC", "PCM_16", None, 0),
    ("FLAC", "PCM_24", None, 0),
    ("OGG", "VORBIS", None, 1e-4),
    ("OGG", "OPUS", None, 2e-4),
    ("MP3", "MPEG_LAYER_III", None, 1e-4),
]


def read(path: Path, folder: Path) -> tuple[np.ndarray, str]:
    """The samples that Coffre reads, `[samples, channels]`, and what it says about them."""
    made = folder / "read.wav"
    made.unlink(missing_ok=True)
    plain = ["--voice", "none", "--no-content", "--no-profile", "--no-watermark", "--mix", "0"]
    done = subprocess.run([COMMAND, "convert", path, "-o", made, *plain], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{path.name}: {done.stderr}"
    return soundfile.read(made, dtype="float64", always_2d=True)[0], done.stderr


@pytest.mark.parametrize("container, coding, order, allowed", WRITTEN)
@pytest.mark.parametrize("channels", (1, 2))
def test_what_libsndfile_writes_is_read_as_libsndfile_reads_it(tmp_path, container, coding, order, allowed, channels):
    if (container, coding, channels) == ("CAF", "ALAC_24", 2):
        pytest.xfail("symphonia-format-caf 0.6.1 loses its place behind the header")
    path = tmp_path / "take"
    audio = np.stack([VOCAL, 0.5 * np.roll(VOCAL, 99)][:channels], 1)
    try:
        soundfile.write(path, audio, RATE, format=container, subtype=coding, endian=order)
    except (ValueError, RuntimeError) as error:
        pytest.skip(f"this libsndfile does not write it: {error}")
    wanted = soundfile.read(path, dtype="float64", always_2d=True)[0]
    found, _ = read(path, tmp_path)
    assert found.shape == wanted.shape
    # 24 bits is the most that is written of integers and of lossy codings.
    assert np.abs(found - wanted).max() <= max(allowed, 2**-23)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def form(tag: int, bits: int, more: bytes = b"") -> bytes:
    block = (bits + 7) // 8
    return struct.pack("<HHIIHH", tag, 1, RATE, RATE * block, block, bits) + more


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


DATA = INTEGERS.tobytes()
PLAIN = riff(chunk(b"fmt ", form(1, 16)), chunk(b"data", DATA))
WIDE = chunk(b"ds64", struct.pack("<QQQI", len(PLAIN) + 28, len(DATA), len(INTEGERS), 0))
GUID = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
ODD = np.frombuffer(DATA, "u1")[: 3 * 10_001].tobytes()


def open_ended(riff_size: int, data_size: int) -> bytes:
    head = b"RIFF" + struct.pack("<I", riff_size) + b"WAVE" + chunk(b"fmt ", form(1, 16))
    return head + b"data" + struct.pack("<I", data_size) + DATA


# Name, file, and whether its header is told to be wrong.
BY_HAND = [
    ("plain", PLAIN, False),
    ("sizes of 0", open_ended(0, 0), True),
    ("sizes of 0x7fffffff", open_ended(0x7FFFFFFF, 0x7FFFFFFF), True),
    ("sizes of 0xffffffff", open_ended(0xFFFFFFFF, 0xFFFFFFFF), True),
    ("data of size 0", open_ended(len(PLAIN) - 8, 0), True),
    ("the size of the last flush", open_ended(36 + len(DATA) // 2, len(DATA) // 2), True),
    ("RIFF too short", riff(chunk(b"fmt ", form(1, 16)), chunk(b"data", DATA), size=len(PLAIN) - 16), False),
    ("RF64", b"RF64\xff\xff\xff\xffWAVE" + WIDE + chunk(b"fmt ", form(1, 16)) + b"data\xff\xff\xff\xff" + DATA, False),
    ("BW64", b"BW64\xff\xff\xff\xffWAVE" + WIDE + chunk(b"fmt ", form(1, 16)) + b"data\xff\xff\xff\xff" + DATA, False),
    ("a chunk before", riff(chunk(b"JUNK", b"\0" * 28), chunk(b"bext", b"\0" * 602), chunk(b"fmt ", form(1, 16)), chunk(b"data", DATA)), False),
    ("a tag behind", PLAIN + b"TAG" + b"x" * 125, False),
    ("a tag before", b"ID3\x04\0\0\0\0\x01\0" + b"\0" * 128 + PLAIN, False),
]


@pytest.mark.parametrize("name, content, is_told", BY_HAND, ids=[name for name, *_ in BY_HAND])
def test_headers_as_people_have_them_lose_no_sample(tmp_path, name, content, is_told):
    path = tmp_path / "take.wav"
    path.write_bytes(content)
    found, said = read(path, tmp_path)
    assert np.array_equal(found[:, 0] * 32_768, INTEGERS), name
    assert ("wrong length" in said) == is_told, said


def test_bits_in_larger_places_and_odd_lengths_are_read(tmp_path):
    path = tmp_path / "take.wav"
    wide = (INTEGERS.astype("<i4") << 16).tobytes()
    for bits, place, content in ((24, 32, wide), (20, 32, wide)):
        extra = struct.pack("<HHI", 22, bits, 4) + struct.pack("<H", 1) + GUID
        path.write_bytes(riff(chunk(b"fmt ", form(0xFFFE, place, extra)), chunk(b"data", content)))
        assert np.array_equal(read(path, tmp_path)[0][:, 0] * 32_768, INTEGERS), bits
    # Pro Tools: floating point with a format chunk of 40 bytes that is empty behind its first 16.
    path.write_bytes(riff(chunk(b"fmt ", form(3, 32, b"\0" * 24)), chunk(b"data", VOCAL.astype("<f4").tobytes())))
    assert np.array_equal(read(path, tmp_path)[0][:, 0], VOCAL.astype("<f4"))
    # An odd number of bytes without the padding that belongs there, and a chunk behind them.
    path.write_bytes(riff(chunk(b"fmt ", form(1, 24)), b"data" + struct.pack("<I", len(ODD)) + ODD, chunk(b"LIST", b"INFO")))
    assert len(read(path, tmp_path)[0]) == len(ODD) // 3


def test_mpeg_audio_is_read_under_a_false_name_and_inside_a_wav(tmp_path):
    true, false, inside = tmp_path / "take.mp3", tmp_path / "renamed.wav", tmp_path / "inside.wav"
    soundfile.write(true, VOCAL, RATE, format="MP3", subtype="MPEG_LAYER_III")
    mpeg = true.read_bytes()
    false.write_bytes(mpeg)
    extra = struct.pack("<HHIHHH", 12, 1, 2, 417, 1, 1393)
    inside.write_bytes(riff(chunk(b"fmt ", form(0x55, 0, extra)), chunk(b"data", mpeg)))
    wanted = read(true, tmp_path)[0]
    for path in (false, inside):
        assert np.array_equal(read(path, tmp_path)[0], wanted), path.name


def test_a_converted_take_keeps_its_place_in_the_session(tmp_path):
    time = struct.pack("<Q", 171_050_880)
    bext = b"Scene 12".ljust(338, b"\0") + time + b"\0" * 256
    path, made = tmp_path / "take.wav", tmp_path / "made.wav"
    path.write_bytes(riff(chunk(b"bext", bext), chunk(b"fmt ", form(1, 16)), chunk(b"data", DATA), chunk(b"iXML", b"<BWFXML/>")))
    subprocess.run([COMMAND, "convert", path, "-o", made, "--voice", "none", "--no-profile", "-q"], check=True)
    content = made.read_bytes()
    assert chunk(b"bext", bext) in content and chunk(b"iXML", b"<BWFXML/>") in content
