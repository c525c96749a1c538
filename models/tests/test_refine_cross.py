"""Checks of training on conversions that need no data. Run `python -m unittest discover tests` in `models/`."""

import random
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
import torch

from train import data, refine_cross as cross, refine_net as net


def tone(seconds, hz=200):
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(int(seconds * data.RATE)) / data.RATE)).astype(np.float32)


class Crossings(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        work = Path(self.folder.name)
        (work / "cross").mkdir()
        soundfile.write(work / "cross" / "ls_1.wav", tone(5), data.RATE)
        soundfile.write(work / "cross" / "ls_1.quartz.wav", 3 * tone(5, 300), data.RATE)
        rows = [{"row": n, "speaker": speaker} for n, speaker in enumerate(cross.VOICES.values())]
        store = types.SimpleNamespace(audio=lambda row: np.full(4 * data.RATE, row + 1, np.float32))
        with (
            mock.patch.object(cross, "AudioStore", lambda _: store),
            mock.patch.object(cross, "load_rows", lambda _: rows),
            mock.patch.object(cross, "training_rows", lambda rows: rows),
        ):
            self.crossing = cross.Crossing(None, work)

    def tearDown(self):
        self.folder.cleanup()

    def test_a_batch_has_the_conversion_its_recording_and_the_same_voice_s_own(self):
        converted, recording, voice, own = self.crossing.batch(random.Random(0))
        self.assertEqual(converted.shape, (cross.CUTS, cross.LENGTH))
        self.assertTrue(all(cross.NAMES[number] == "quartz" for number in voice))
        expected = list(cross.VOICES).index("quartz") + 1
        gains = own[:, 0] / expected
        self.assertTrue(((gains > 10**-0.41) & (gains < 10**0.31)).all())
        pitch = lambda audio: int(np.abs(np.fft.rfft(audio)).argmax()) * data.RATE / cross.LENGTH  # noqa: E731
        self.assertAlmostEqual(pitch(converted[0].numpy()), 300, delta=1)
        self.assertAlmostEqual(pitch(recording[0].numpy()), 200, delta=1)

    def test_conversions_are_at_one_level(self):
        converted, _, _ = self.crossing.conversions[0]
        self.assertAlmostEqual(float(converted.square().mean().sqrt()), cross.LEVEL, places=4)


class Judging(unittest.TestCase):
    def test_patches_depend_on_sound_and_voice(self):
        torch.manual_seed(0)
        patches = cross.Patches().eval()
        bands, bins = torch.randn(2, 64, 300), torch.randn(2, net.BINS, 300)
        one, other = (patches(bands, bins, torch.tensor([n, n])) for n in (0, 1))
        self.assertTrue(all(a.shape[0] == 2 and a.ndim == 3 for a in one))
        self.assertTrue(all((a - b).abs().max() > 1e-3 for a, b in zip(one, other)))
        self.assertGreater((one[0][0] - one[0][1]).abs().max(), 1e-3)

    def test_only_gains_above_the_first_network_s_in_quiet_frames_count(self):
        training = types.SimpleNamespace(first=net.RefineNet().eval())
        audio = torch.from_numpy(np.concatenate([tone(1), 1e-3 * tone(1)]))[None]
        spectra = net.stft(audio)
        excess = lambda gain: float(cross.Training.excess(training, spectra, gain, torch.zeros(1, 128), torch.zeros(1, 201, 40)))  # noqa: E731
        gain = torch.zeros(1, spectra.shape[2], net.BINS)
        self.assertEqual(excess(gain - 1), 0)
        loud, quiet = gain.clone(), gain.clone()
        loud[:, :95], quiet[:, 105:] = 1, 1
        self.assertEqual(excess(loud), 0)
        self.assertGreater(excess(quiet), 0.4)


if __name__ == "__main__":
    unittest.main()
