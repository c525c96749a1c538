"""Checks of the tables of song, knob, clones and notes made of hiss. They need the packages of `eval/requirements.txt`."""

import struct
import tempfile
import unittest
from pathlib import Path

import numpy as np

try:
    from eval import clones, false_pitch, figures, instruments, jobs, knob, melody, song, tables, worst, xvector
except ImportError as missing:
    raise unittest.SkipTest(f"the judge's packages are not installed: {missing}") from missing


def vowel(hz=120, seconds=1.6, rate=16000):
    """A buzz of harmonics with two formants, with a gap in the middle."""
    time = np.arange(int(seconds * rate)) / rate
    weight = lambda k: 1 / (1 + ((k * hz - 600) / 200) ** 2) + 0.3 / (1 + ((k * hz - 1500) / 250) ** 2)  # noqa: E731
    sound = sum(weight(k) * np.sin(2 * np.pi * k * hz * time) for k in range(1, int(7000 / hz)))
    sound[int(0.7 * rate) : int(0.9 * rate)] *= 0
    return (0.1 * sound / np.abs(sound).max()).astype(np.float32)


class Melody(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.said = melody.Said(vowel())

    def test_a_contour_has_vibrato_and_glides_and_stays_in_a_singers_range(self):
        for seed in range(8):
            line = melody.contour(np.random.default_rng(seed), 1600)
            steps = np.abs(np.diff(line))
            self.assertTrue(-7 < line.min() and line.max() < 9)
            self.assertLess(steps.max(), 1.5)  # nothing jumps
            self.assertGreater((steps > 0.005).mean(), 0.3)  # and little stands still

    def test_it_is_sung_at_the_pitch_that_is_asked_for_and_as_long(self):
        for centre in (130, 300):
            sound = self.said.sung(3, centre, 1.5)
            found = melody.Said(sound).f0
            self.assertLess(abs(12 * np.log2(np.median(found[found > 0]) / centre)), 0.5)
            self.assertTrue(1.35 < len(sound) / len(vowel()) < 1.5)

    def test_it_is_the_same_every_time(self):
        np.testing.assert_array_equal(self.said.sung(3, 200), self.said.sung(3, 200))
        self.assertFalse(np.array_equal(self.said.sung(3, 200), self.said.sung(4, 200)))

    def test_a_move_moves(self):
        found = melody.Said(self.said.moved(7)).f0
        self.assertLess(abs(12 * np.log2(np.median(found[found > 0]) / 120) - 7), 0.3)


class Registers(unittest.TestCase):
    def test_in_key_is_octaves_and_out_of_key_semitones(self):
        self.assertEqual(jobs.in_key(220, 147), -12)
        self.assertEqual(jobs.in_key(220, 160), 0)
        self.assertEqual(jobs.in_key(110, 400), 24)
        self.assertEqual(jobs.out_of_key(220, 147), -7)

    def test_a_register_of_octaves_is_found_by_the_help(self):
        for said, word in (("--transpose <ST|auto>", None), ("--transpose <ST|octave|semitone>", "octave")):
            with tempfile.TemporaryDirectory() as folder:
                program = Path(folder) / "coffre"
                program.write_text(f"#!/bin/sh\necho '      {said}  Semitones; an octave is 12'\n")
                program.chmod(0o755)
                self.assertEqual(jobs.octave_word(program), word)


class Symbol(unittest.TestCase):
    def elf(self, name):
        """A library with one data symbol of four bytes."""
        body, names = b"DATA", b"\0" + name + b"\0"
        at = 64
        places = [at, at + 4, at + 4 + len(names)]
        table = struct.pack("<IBBHQQ", 1, 0x11, 0, 1, 0x5000, 4)
        section = lambda kind, address, offset, length, link: struct.pack("<IIQQQQIIQQ", 0, kind, 0, address, offset, length, link, 0, 1, 24)  # noqa: E731
        sections = section(0, 0, 0, 0, 0) + section(1, 0x5000, places[0], 4, 0)
        sections += section(3, 0, places[1], len(names), 0) + section(2, 0, places[2], 24, 2)
        head = bytearray(64)
        head[:6] = b"\x7fELF\x02\x01"
        struct.pack_into("<Q", head, 0x28, places[2] + 24)
        struct.pack_into("<HH", head, 0x3A, 64, 4)
        return bytes(head) + body + names + table + sections

    def test_its_bytes_are_found(self):
        self.assertEqual(xvector.symbol(self.elf(xvector.SYMBOL), xvector.SYMBOL), b"DATA")

    def test_another_library_is_refused_with_a_word(self):
        with self.assertRaisesRegex(ValueError, "0.0.49"):
            xvector.symbol(self.elf(b"something_else"), xvector.SYMBOL)
        with self.assertRaisesRegex(ValueError, "ELF"):
            xvector.symbol(b"MZ" + bytes(80), xvector.SYMBOL)


class Hiss(unittest.TestCase):
    def test_only_high_frames_without_voice_count(self):
        times = np.arange(0, 2, 0.016)
        other = np.where(times < 1, 100.0, 0.0)
        coffre = np.zeros(200)
        coffre[50:100] = 900  # the other hears a voice: an octave error at worst, not hiss
        coffre[120:140] = 900  # hiss
        coffre[150:160] = 210  # within 2.2 times the median
        self.assertEqual(false_pitch.false_frames(coffre, times, other, 100), (20, 80))

    def test_the_worst_clips_are_named(self):
        about = {"voice": "so_1", "file": "a.opus", "at": 1.0, "mode": "mix", "voiced": 100}
        said = false_pitch.worst([about | {"false": 0}, about | {"false": 22, "file": "b.opus"}, about | {"false": 9, "voiced": 9}])
        self.assertEqual(len(said), 1)
        self.assertIn("b.opus at 1.0 s, mix: 22 of 100 voiced frames (22 %)", said[0])


GOOD = {
    "clip": "a", "voice": "v", "mode": "m", "target": 0.8, "source_target": 0.5, "target_target": 0.9, "closer": 1.0, "errors": 2,
    "source_errors": 2, "words": 20, "phone_errors": 2, "phones": 40, "ovr": 3.0, "source_ovr": 3.05, "gross": 0.0, "loudness": 1.0,
}  # fmt: skip


class Worst(unittest.TestCase):
    def test_a_good_clip_has_no_faults(self):
        self.assertEqual(worst.faults(GOOD), {})
        self.assertEqual(worst.worst([GOOD]), [])

    def test_what_is_wrong_is_said(self):
        row = GOOD | {"clip": "b", "errors": 12, "ovr": 2.5}
        self.assertEqual(set(worst.faults(row)), {"words", "quality"})
        said = worst.lines([GOOD, row], ("m",))
        self.assertIn("b to v (m)", said)
        self.assertIn("2 -> 12 of 20 words wrong", said)
        self.assertIn("OVRL 3.05 -> 2.50", said)

    def test_each_clip_is_named_once_and_the_worst_first(self):
        rows = [GOOD | {"clip": f"c{n}", "voice": v, "errors": 4 + n} for n in range(8) for v in "ab"]
        self.assertEqual([row["clip"] for row in worst.worst(rows)], ["c7", "c6", "c5", "c4", "c3"])

    def test_what_was_not_measured_is_not_wrong(self):
        self.assertEqual(worst.faults({"clip": "a", "errors": 3}), {})


class Plans(unittest.TestCase):
    class Known(instruments.Source):
        def heard(self, judge):
            return {"median": 220.0}

    class Somebody:
        median = 147.0

    def test_song_asks_for_octaves_in_key_and_for_every_voice_alike(self):
        found = [self.Known(f"s{n}", np.zeros(10)) for n in range(16)]
        made = song.plan(found, dict.fromkeys("abcd", self.Somebody()), None)
        keyed = [job for job in made if job.mode.startswith("in key")]
        self.assertEqual({job.semitones for job in keyed}, {-12})
        self.assertEqual({job.semitones for job in made if job not in keyed}, {-7})
        for mode in song.MODES:
            voices = [job.voice for job in made if job.mode == mode]
            self.assertEqual({voices.count(voice) for voice in "abcd"}, {len(voices) // 4})
        self.assertEqual(len(made), len({(job.mode, job.source.name, job.voice) for job in made}))

    def test_the_knob_shows_what_was_made_at_every_step(self):
        steps = [{"clip": "a", "voice": "v", "mode": f"in key, likeness {step}"} for step in knob.STEPS]
        rows = knob.rows([], steps + [steps[2] | {"voice": "w"}, steps[0] | {"mode": "out of key, likeness 60"}])
        self.assertEqual([row["mode"] for row in rows], [f"song, in key, likeness {step}" for step in knob.STEPS])

    def test_a_recording_that_is_too_short_is_left_out_without_a_refusal(self):
        self.assertEqual(clones.make(None, Path("."), "x", np.zeros(16000), 2), (None, None))


class Likeness(unittest.TestCase):
    def test_the_way_is_measured_from_the_source_to_the_person(self):
        angle = lambda degrees: np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])  # noqa: E731
        row = {"clip": "a"} | instruments.cosines("", angle(30), angle(60), (angle(0), 1.0))
        self.assertAlmostEqual(figures.value([row], figures.FIGURES["norm"]), (np.cos(np.pi / 6) - 0.5) / 0.5, 3)


class Text(unittest.TestCase):
    def test_tables_that_were_not_made_are_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(tables.markdown(Path(folder), list(tables.TABLES)).strip(), "")


if __name__ == "__main__":
    unittest.main()
