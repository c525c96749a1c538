"""Checks of pseudo-singing, of syllables as labels, and of the figures of sureness, without data."""

import tempfile
import types
import unittest
from pathlib import Path

import numpy as np
import torch

from train import augment, encoder, frozen, mel, net, singers, song, sure
from train.data import PHONE_ID, REPO

VOWEL, STOP = PHONE_ID["AA"], PHONE_ID["T"]


def recording(frames=400):
    """A made item: stop, vowel, stop, vowel; what `song.Sung` asks of one."""
    phones = np.where(np.arange(frames) % 40 < 10, STOP, VOWEL)
    soft = np.eye(net.CLASSES, dtype=np.float32)[phones]
    directions = np.tile(np.arange(frames)[:, None], net.KEY_DIM)
    targets = lambda at: np.concatenate([soft[at], directions[at]], 1).astype(np.float32)  # noqa: E731
    audio = lambda: np.zeros(frames * mel.HOP, np.float32)  # noqa: E731
    item = types.SimpleNamespace(row={"row": 0}, soft=soft, targets=targets, audio=audio)
    f0 = np.where(phones == VOWEL, 120.0, 0.0)
    return item, np.full((frames, song.POINTS), -6.0, np.float16), f0


def choir(frames=400):
    item, logs, f0 = recording(frames)
    sung = song.Sung.__new__(song.Sung)
    sung.items, sung.kept, sung.weights = [item], [(logs, f0)], np.ones(1)
    return sung


class Song(unittest.TestCase):
    def test_excitation_has_power_one_and_its_harmonics(self):
        rng = np.random.default_rng(0)
        energy = (mel.HANN.numpy() ** 2).sum()
        for note in (150.0, 400.0, 0.0):
            mean = song.excitation(rng, np.full(200, note), 200 * mel.HOP + mel.WINDOW - mel.HOP)[5:-5, 60:240].mean()
            self.assertLess(abs(10 * np.log10(mean / energy)), 1.0, note)
        power = song.excitation(rng, np.full(200, 800.0), 200 * mel.HOP + mel.WINDOW - mel.HOP)[5:-5].mean(0)
        harmonic, gap = round(1600 * mel.FFT / 16000), round(1200 * mel.FFT / 16000)
        self.assertGreater(power[harmonic], 20 * power[gap])

    def test_melody_stays_in_its_range(self):
        rng = np.random.default_rng(0)
        notes = np.concatenate([song.melody(rng, 300) for _ in range(50)])
        self.assertGreater(notes.min(), 70)
        self.assertLess(notes.max(), 1150)
        self.assertGreater((notes > 600).mean(), 0.01)

    def test_vowels_are_held_and_consonants_are_not(self):
        rng = np.random.default_rng(0)
        held = np.arange(4000) % 40 >= 10
        factors = song.slowness(rng, held, 4.0)
        inside = np.arange(4000) % 40
        self.assertGreater(factors[(inside > 13) & (inside < 37)].mean(), 1.5)
        self.assertLess(factors[(inside > 3) & (inside < 7)].mean(), 1.2)

    def test_labels_move_with_the_frames(self):
        rng, sung = np.random.default_rng(0), choir()
        for _ in range(20):
            power, wanted = sung.draw(rng, augment.SEGMENT)
            self.assertEqual(power.shape, (augment.FRAMES, 257))
            self.assertTrue((np.diff(wanted[:, -1]) >= 0).all())
            self.assertTrue(np.isfinite(power).all())
        self.assertGreater((wanted[:, VOWEL] == 1).mean(), 0.7)

    def test_batch_takes_sung_clips_and_sure_frames(self):
        rng, (item, _, _) = np.random.default_rng(0), recording()
        item.sure = np.full(400, 0.5, np.float32)
        inputs, targets, mask = augment.batch(rng, [item], np.ones(1), 4)
        self.assertEqual(float(mask.max()), 0.5)
        inputs, targets, mask = augment.batch(rng, [item], np.ones(1), 4, choir(), 1.0)
        self.assertTrue(torch.isfinite(inputs).all())
        self.assertEqual(targets.shape, (4, augment.FRAMES, net.CLASSES + net.KEY_DIM))
        self.assertEqual(float(mask.max()), 1.0)


class Singers(unittest.TestCase):
    def test_names_of_takes_are_read(self):
        self.assertEqual(singers.romaji("_きゃヴぁつしぇん"), ["kya", "va", "tsu", "she", "n"])
        self.assertEqual(singers.romaji("ええお_e-e-o"), ["e", "e", "o"])
        self.assertEqual(singers.romaji("me_n_fya"), ["me", "n", "fya"])
        self.assertEqual(singers.romaji("うぃいぇてぃ"), ["wi", "ye", "ti"])
        self.assertIsNone(singers.romaji("_あ吸"))
        self.assertIsNone(singers.phones("R"))
        self.assertEqual([state for state, _ in singers.phones("kya")], ["K", "Y IY", "AA AH"])

    def test_syllables_are_found_in_time(self):
        said = np.repeat([0, PHONE_ID["K"], VOWEL, PHONE_ID["N"], PHONE_ID["IY"], 0], [10, 5, 30, 8, 30, 10])
        logp = np.log(np.eye(net.CLASSES)[said] * 0.5 + 0.5 / net.CLASSES)
        starts = singers.place(logp, singers.phones("ka_ni"), said == 0)
        self.assertEqual(starts, [10, 15, 45, 53, 83])

    def test_zero_directions_are_not_learned_from(self):
        network = net.live()
        network.compiled = network.forward
        echo = torch.nn.Linear(network.channels, net.KEY_DIM)
        targets = torch.zeros(1, 30, net.CLASSES + net.KEY_DIM)
        targets[..., VOWEL] = 1
        loss, entropy = encoder.loss_of(network, echo, torch.randn(1, 30, 80), targets, torch.ones(1, 30))
        self.assertAlmostEqual(float(loss), entropy, places=4)


class Blend(unittest.TestCase):
    def test_a_blend_lies_between_the_checkpoint_and_the_graph(self):
        first = frozen.content(REPO / "models" / "content.onnx")
        second = net.ContentNet(**first.config)
        with tempfile.TemporaryDirectory() as folder:
            state = {"config": first.config, "weights": second.state_dict(), "spent": 1.0, "step": 1}
            torch.save(state, Path(folder) / "live.pt")
            encoder.blend(Path(folder), "live-half", "live", 0.25)
            found = net.load(Path(folder) / "live-half.pt")[0].head.weight
        torch.testing.assert_close(found, 0.25 * second.head.weight + 0.75 * first.head.weight)


class Sure(unittest.TestCase):
    def test_figures_of_a_certain_and_of_an_even_answer(self):
        allowed = np.eye(net.CLASSES)[[VOWEL, VOWEL]]
        certain = np.log(np.eye(net.CLASSES)[[VOWEL, STOP]] * (1 - 4e-4) + 1e-5)
        total = sure.figures(certain, allowed, np.ones(2, bool))
        self.assertEqual(total[3], 1)
        self.assertAlmostEqual(total[0] / 2, 1, places=3)
        even = sure.figures(np.full((2, 40), -np.log(40)), allowed, np.array([True, False]))
        np.testing.assert_allclose(even[[0, 1, 4, 5]], [1 / 40, np.log(40), np.log(40), 1], rtol=1e-6)


if __name__ == "__main__":
    unittest.main()
