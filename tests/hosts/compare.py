"""Compares what a host rendered with what the `coffre` command wrote: `cargo xtask demo` runs it.

The host's file is floating point. Where the command's has integers, the host's samples are rounded the way the command
rounds. Reports in JSON: identical, samples, different, largest_difference, first_difference, rms_db.
"""

import json
import sys

import numpy as np
import soundfile

BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def main() -> None:
    hosted, command = sys.argv[1:]
    subtype = soundfile.info(command).subtype
    one, one_rate = soundfile.read(hosted, dtype="float64", always_2d=True)
    other, other_rate = soundfile.read(command, dtype="float64", always_2d=True)
    if subtype in BITS:
        scale = 2.0 ** (BITS[subtype] - 1)
        rounded = np.copysign(np.floor(np.abs(one * scale) + 0.5), one)
        one = np.clip(rounded, -scale, scale - 1) / scale
    if one.shape != other.shape or one_rate != other_rate:
        sys.exit(f"the host's file has {one.shape} samples at {one_rate} Hz, the command's {other.shape} at {other_rate}")

    different = np.flatnonzero((one != other).any(axis=1))
    report = {
        "identical": len(different) == 0,
        "samples": int(one.shape[0]),
        "different": len(different),
        "largest_difference": float(np.abs(one - other).max(initial=0.0)),
        "first_difference": int(different[0]) if len(different) else None,
        "rms_db": float(10 * np.log10(np.mean(np.square(other)) + 1e-30)) if other.size else -300.0,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
