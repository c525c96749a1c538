"""Checks of the recipe that need no data. Run `python -m unittest discover tests` in `models/`."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import torch

from train import augment, check, export, keys, lexicon, mel, net


class Mel(unittest.TestCase):
    def test_bands_sum_to_one_and_frames_are_whole(self):
        np.testing.assert_allclose(mel.bank().sum(1), 1)
        self.assertEqual([mel.frames_in(n) for n in (319, 320, 479, 480)], [0, 1, 1, 2])

    def test_matches_the_definition(self):
        audio = torch.from_numpy(export.test_signal(800))
        y = audio.double().numpy()
        y[1:] -= 0.97 * audio.double().numpy()[:-1]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(320) / 320)
        power = np.abs(np.fft.rfft(y[160:480] * window, 512)) ** 2
        expected = (np.log(mel.bank() @ power + 1e-6) + 7) / 3
        np.testing.assert_allclose(mel.mel(audio[None])[0, 1].numpy(), expected, atol=1e-4)


class Streaming(unittest.TestCase):
    def test_exported_graph_equals_the_whole_file(self):
        torch.manual_seed(0)
        network = net.live().eval()
        projection = np.random.default_rng(0).normal(0, 0.1, (64, network.channels + 40)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "content.onnx"
            onnx.save(export.build(network, projection), path)
            frames = mel.mel(torch.from_numpy(export.test_signal(60 * 160 + 160))[None])[0]
            differences = check.streaming_difference(network, projection, path, frames)
        self.assertLess(max(differences), 1e-4)

    def test_output_depends_on_two_frames_of_future_only(self):
        network = net.live().eval()
        frames = torch.randn(1, 40, 80)
        changed = frames.clone()
        changed[:, 20:] += 1
        with torch.no_grad():
            same = (network(frames)[0] == network(changed)[0]).all(2)[0]
        self.assertTrue(same[:20].all())
        self.assertFalse(same[20])

    def test_adopting_other_delays_keeps_what_is_seen(self):
        first, second = net.ContentNet().eval(), net.ContentNet(delays=net.mix().config["delays"]).eval()
        for block, delay in zip(first.blocks, second.config["delays"]):
            block.taps.data[: delay - block.delay] = 0
        second.adopt(first.state_dict(), first.config["delays"])
        frames = torch.randn(1, 120, 80)
        with torch.no_grad():
            one, two = first(frames)[0][0, 62:102], second(frames)[0][0, 76:116]
        torch.testing.assert_close(one, two, atol=1e-4, rtol=0)


class Batches(unittest.TestCase):
    def test_cut_maps_frames_to_the_source(self):
        rng = np.random.default_rng(0)
        piece, frames = augment.cut(rng, np.ones(16000, np.float32), 1.0)
        self.assertEqual(len(piece), augment.SEGMENT)
        self.assertEqual(frames[:3].tolist(), [0, 1, 2])
        self.assertEqual(frames[-1], -1)

    def test_views_are_finite(self):
        rng = np.random.default_rng(0)
        views = augment.disguise(rng, torch.randn(4, augment.SEGMENT) * 0.06, [1.0, 1.4, 0.7, 1.0])
        self.assertEqual(views.shape, (4, augment.FRAMES, 80))
        self.assertTrue(torch.isfinite(views).all())


    def test_held_frames_keep_their_targets(self):
        rng = np.random.default_rng(0)
        number = torch.arange(augment.FRAMES, dtype=torch.float32)
        inputs = number[None, :, None].repeat(32, 1, 80)
        targets, mask = number[None, :, None].repeat(32, 1, 88), torch.ones(32, augment.FRAMES)
        inputs, targets, mask = augment.sustain(rng, inputs, targets, mask)
        self.assertTrue(((inputs[:, :, 0] - targets[:, :, 0]).abs() <= 0.51).all())
        slowed = (targets[:, -1, 0] < augment.FRAMES - 1).sum()
        self.assertTrue(2 <= slowed <= 16)


class Keys(unittest.TestCase):
    def test_discriminants_whiten_the_classes(self):
        rng = np.random.default_rng(0)
        classes = rng.integers(0, 40, 20000)
        u = (rng.normal(0, 3, (40, 200))[classes] + rng.normal(0, 1, (20000, 200))).astype(np.float32)
        projection = keys.discriminants({"a": (u, classes, classes)}, False, 0.5)
        self.assertEqual(projection.shape, (64, 200))
        within, _ = keys.scatter((u @ projection.T).astype(np.float32), classes)
        self.assertAlmostEqual(np.trace(within) / 64, 1, delta=0.1)


class Lexicon(unittest.TestCase):
    def test_ipa_becomes_arpabet(self):
        self.assertEqual(lexicon.arpabet("dʒˈʌdʒɪŋ"), "JH AH JH IH NG")
        self.assertEqual(lexicon.arpabet("bˈɜːd"), "B ER D")
        self.assertIsNone(lexicon.arpabet("ǂa"))

    def test_words_of_a_transcript(self):
        known = {"don't"}.__contains__
        self.assertEqual(lexicon.words("'Tis WELL-made, don’t!", known), ["tis", "well", "made", "don't"])


if __name__ == "__main__":
    unittest.main()
