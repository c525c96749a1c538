"""Measure the watermark: how often `coffre verify` finds it after each attack, what it costs in quality, and how often
chance looks like a mark. `python -m eval.provenance --coffre PROGRAM --out FOLDER`; needs ffmpeg, and speechmos.

Clips: 47 stretches of 11 to 16 s of many readers, converted to the embedded voices in turn. All attacks act on a cut of
10 s that begins anywhere, so every line is also cropped. False alarms: wrong keys on the unmarked conversions and on
the unconverted clips. A window and a key make one trial.
"""

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from train.data import load_rows, speech_dir

RATE, SECONDS = 48000, 16
VOICES = ("Basalt", "Celadon", "Ochre", "Quartz")


def clips(speech, out):
    """Write the sources: rows of one reader one after the other, 0.15 s apart; readers with less than 11 s are left out."""
    readers = {}
    for row in load_rows(speech):
        readers.setdefault(row["corpus"], {}).setdefault(row["speaker"], []).append(row)
    of = lambda corpus: list(readers[corpus].values())  # noqa: E731
    chosen = of("librispeech")[::10][:20] + of("fleursdumal")[:12] + of("speechocean762")[::10][:12]
    chosen += 3 * (of("kathleen") + of("nathalie"))
    count = 0
    for rows in chosen:
        rows = rows[count * 7 % (len(rows) - 12) :] if len(rows) > 12 else rows
        parts = []
        for row in rows[:12]:
            command = ["ffmpeg", "-v", "error", "-ss", str(row["start_s"]), "-to", str(row["end_s"]), "-i"]
            command += [str(speech / row["file"]), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
            parts += [np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)]
            parts += [np.zeros(RATE * 3 // 20, np.float32)]
        audio = np.concatenate(parts)[: SECONDS * RATE]
        if len(audio) >= 11 * RATE:
            soundfile.write(out / f"{count:02}.wav", audio, RATE, subtype="PCM_24")
            count += 1


def coded(audio, work, options, extension):
    """Through ffmpeg's coder and back."""
    soundfile.write(work / "in.wav", np.clip(audio, -1, 1), RATE, subtype="PCM_16")
    quiet = ["ffmpeg", "-y", "-v", "error", "-i"]
    subprocess.run(quiet + [work / "in.wav", *options, work / f"coded.{extension}"], check=True)
    subprocess.run(quiet + [work / f"coded.{extension}", "-ar", str(RATE), "-ac", "1", work / "out.wav"], check=True)
    return soundfile.read(work / "out.wav")[0]


@cache
def music(length, seed):
    """Chords of decaying sawtooth-like tones, a bass drum on the beat and a hi-hat between: 120 beats per minute."""
    rng, out = np.random.default_rng(seed), np.zeros(length)
    for start in range(0, length, RATE // 2):
        n = min(RATE, length - start)
        time, root = np.arange(n) / RATE, rng.choice([98.0, 110.0, 130.8, 146.8])
        for ratio in (1, 1.26, 1.5, 2, 3):
            for harmonic in range(1, 12):
                tone = np.sin(2 * np.pi * root * ratio * harmonic * time + rng.uniform(0, 6)) / harmonic
                out[start : start + n] += tone * np.exp(-2 * time)
        out[start : start + n] += 1.5 * rng.standard_normal(n) * np.exp(-25 * time)
        hat = out[start + RATE // 4 : start + RATE // 4 + n]
        hat += 0.8 * (rng.standard_normal(n) * np.exp(-60 * time))[: len(hat)]
    return out


def room(audio, impulse, wet_db):
    """With its reverberation at `wet_db` against the direct sound."""
    wet = fftconvolve(audio, impulse)[: len(audio)]
    return audio + wet * 10 ** (wet_db / 20) * np.std(audio) / np.std(wet)


def equalised(audio):
    """6 dB less below 250 Hz, 6 dB more above 4 kHz, and a high-pass at 80 Hz."""
    low, high = (sosfilt(butter(2, hz, kind, fs=RATE, output="sos"), audio) for hz, kind in ((250, "low"), (4000, "high")))
    return sosfilt(butter(2, 80, "high", fs=RATE, output="sos"), audio - 0.5 * low + high)


def attacks(speech, work):
    impulse, rate = soundfile.read(speech / "small" / "rir_clap.wav")
    impulse = soxr.resample(impulse, rate, RATE)

    def add(audio, seed, db):
        song = music(len(audio), seed % 4)
        return audio + song * 10 ** (db / 20) * np.std(audio) / np.std(song)

    return {
        "none (10 s cut)": lambda audio, seed: audio,
        "5 s cut": lambda audio, seed: audio[: 5 * RATE],
        "16 bit": lambda audio, seed: np.round(audio * 32767) / 32767,
        "MP3 128k": lambda audio, seed: coded(audio, work, ["-c:a", "libmp3lame", "-b:a", "128k"], "mp3"),
        "AAC 128k": lambda audio, seed: coded(audio, work, ["-c:a", "aac", "-b:a", "128k"], "m4a"),
        "Opus 64k": lambda audio, seed: coded(audio, work, ["-c:a", "libopus", "-b:a", "64k"], "ogg"),
        "Opus 24k": lambda audio, seed: coded(audio, work, ["-c:a", "libopus", "-b:a", "24k"], "ogg"),
        "16 kHz": lambda audio, seed: soxr.resample(soxr.resample(audio, RATE, 16000), 16000, RATE),
        "+6 dB, clipped": lambda audio, seed: np.clip(audio * 2, -1, 1),
        "-6 dB": lambda audio, seed: audio / 2,
        "equaliser": lambda audio, seed: equalised(audio),
        "room at -14 dB": lambda audio, seed: room(audio, impulse, -14),
        "room at -10 dB": lambda audio, seed: room(audio, impulse, -10),
        "room at -6 dB": lambda audio, seed: room(audio, impulse, -6),
        "the room alone": lambda audio, seed: fftconvolve(audio, impulse)[: len(audio)],
        "music at -6 dB": lambda audio, seed: add(audio, seed, -6),
        "music at 0 dB": lambda audio, seed: add(audio, seed, 0),
        "music at +6 dB": lambda audio, seed: add(audio, seed, 6),
        "2 % faster": lambda audio, seed: soxr.resample(audio, RATE * 102, RATE * 100),
    }


def verify(coffre, path, *options):
    command = [str(coffre), "verify", str(path), "--json", *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(prog="eval.provenance", description=__doc__)
    parser.add_argument("--coffre", type=Path, required=True, help="the program to judge")
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips and results.json")
    parser.add_argument("--keys", type=int, default=160, help="wrong keys per clip for the false alarms")
    parser.add_argument("--data", help="speech set; default COFFRE_SPEECH or ../shared/speech")
    options = parser.parse_args()
    options.coffre = options.coffre.resolve()
    speech = speech_dir(options.data)
    folders = {name: options.out / name for name in ("source", "marked", "plain")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    if not any(folders["source"].iterdir()):
        clips(speech, folders["source"])
    names = sorted(path.name for path in folders["source"].glob("*.wav"))
    for index, name in enumerate(names):
        for kind, extra in (("marked", []), ("plain", ["--no-watermark"])):
            if not (folders[kind] / name).exists():
                command = [options.coffre, "convert", folders["source"] / name, "-o", folders[kind] / name, "-q"]
                subprocess.run([*command, "--voice", VOICES[index % 4], *extra], check=True)

    found, scores, wrong = Counter(), {}, Counter()
    with tempfile.TemporaryDirectory() as work:
        for index, name in enumerate(names):
            audio = soundfile.read(folders["marked"] / name)[0]
            start = np.random.default_rng(index).integers(0, max(1, len(audio) - 10 * RATE))
            cut = audio[start : start + 10 * RATE]
            for attack, act in attacks(speech, Path(work)).items():
                soundfile.write(Path(work) / "cut.wav", act(cut, index), RATE, subtype="FLOAT")
                voices = verify(options.coffre, Path(work) / "cut.wav")["findings"]
                named = [f for f in voices if VOICES[index % 4] in [voice["name"] for voice in f["voices"]]]
                found[attack] += bool(named)
                wrong[attack] += len(voices) > len(named)
                scores.setdefault(attack, []).append(max([f["score"] for f in named], default=0.0))
    lines = {a: {"found": found[a], "wrong voice": wrong[a], "median score": float(np.median(s))} for a, s in scores.items()}
    for attack, line in lines.items():
        print(f"{attack:18} {100 * line['found'] / len(names):5.1f} %  score {line['median score']:.1f}", flush=True)

    chance = Counter()
    for kind in ("plain", "source"):
        for name in names:
            result = verify(options.coffre, folders[kind] / name, "--wrong-keys", str(options.keys))
            chance["windows"] += result["chance"]["windows"]
            chance["alarms"] += result["chance"]["alarms"]
            chance["alarms, own key"] += result["is_marked"]
            chance["best score"] = max(chance["best score"], result["chance"]["best_score"])
    print(dict(chance), flush=True)

    from speechmos import dnsmos

    change = []
    for name in names:
        marked, plain = (soxr.resample(soundfile.read(folders[k] / name)[0], RATE, 16000) for k in ("marked", "plain"))
        marked, plain = (dnsmos.run(np.clip(x, -1, 1).astype(np.float32), 16000) for x in (marked, plain))
        change.append([marked[key] - plain[key] for key in ("ovrl_mos", "sig_mos", "bak_mos")])
    print("DNSMOS change", np.mean(change, 0).round(4), "standard error", (np.std(change, 0) / len(names) ** 0.5).round(4))
    (options.out / "results.json").write_text(
        json.dumps({"clips": len(names), "attacks": lines, "chance": chance, "dnsmos": np.mean(change, 0).tolist()}, indent=1)
    )


if __name__ == "__main__":
    main()
