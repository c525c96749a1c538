"""Checks of the guide and of what the recogniser is asked; need neither data nor the recogniser."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch

from train import guide, listen
from train.mel import BANDS


class Texts(unittest.TestCase):
    def test_a_word_that_nobody_said_is_taken_off(self):
        self.assertEqual(listen.plain("You They would go on."), "They would go on.")
        self.assertEqual(listen.plain(" Mm Before the sittings"), "Before the sittings")
        self.assertEqual(listen.plain("I obeyed. This lay close"), "I obeyed. This lay close")

    def test_figures_cannot_be_aligned(self):
        self.assertIsNone(listen.plain("The year was 1832."))
        self.assertIsNone(listen.plain("  "))


class Heard(unittest.TestCase):
    def test_frames_lie_where_they_were_heard(self):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            # A value that is the position of the frame's centre in samples.
            centres = listen.FIRST + listen.STEP * np.arange(40)
            np.repeat(centres[:, None] / 1000, listen.WIDTH, 1).astype(np.float16).tofile(work / "heard.f16")
            (work / "heard.json").write_text(json.dumps({"7": [0, 40]}))
            heard = listen.Heard(work)
            self.assertIn(7, heard)
            found = heard.frames(7, 90)[:, 0] * 1000
        wanted = 160 * np.arange(90) + 160
        inside = wanted >= listen.FIRST
        self.assertLess(np.abs(found - wanted)[inside].max(), 10)
        self.assertLess(np.abs(found[~inside] - listen.FIRST).max(), 1)


class Guide(unittest.TestCase):
    def test_it_sees_both_sides_of_a_frame_and_no_farther_than_its_kernels(self):
        torch.manual_seed(0)
        network = guide.Guide().eval()
        frames, heard = torch.randn(1, 120, BANDS), torch.randn(1, 120, listen.WIDTH)
        changed = heard.clone()
        changed[:, 60] += 1
        with torch.no_grad():
            differs = (network(frames, heard)[0] != network(frames, changed)[0]).any(2)[0]
        reach = guide.BLOCKS * (guide.TAPS // 2)
        self.assertTrue(differs[60 - reach : 61 + reach].all())
        self.assertFalse(differs[: 60 - reach].any() or differs[61 + reach :].any())

    def test_cuts_keep_their_phones(self):
        rng = np.random.default_rng(0)
        clip = torch.zeros(400, BANDS).half(), torch.zeros(400, listen.WIDTH).half(), np.arange(400) % 40
        short = torch.zeros(50, BANDS).half(), torch.zeros(50, listen.WIDTH).half(), np.arange(50) % 40
        frames, heard, phones = guide.batch(rng, [clip, short], [0.5, 0.5])
        self.assertEqual(frames.shape, (guide.CLIPS, guide.FRAMES, BANDS))
        for row in phones:
            known = row[row >= 0]
            self.assertIn(len(known), (50, guide.FRAMES))
            self.assertTrue(((known[1:] - known[:-1]) % 40 == 1).all())


if __name__ == "__main__":
    unittest.main()
