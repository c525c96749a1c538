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

from train import cross_data, data, refine_cross as cross, refine_net as net, speaker


def tone(seconds, hz=200):
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(int(seconds * data.RATE)) / data.RATE)).astype(np.float32)


class Crossings(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        work = Path(self.folder.name)
        (work / "cross").mkdir()
        soundfile.write(work / "cross" / "ls_1.wav", tone(5), data.RATE)
        soundfile.write(work / "cross" / "ls_1.quartz.wav", 3 * tone(5, 300), data.RATE)
        rows = [{"row": n, "speaker": name} for n, name in enumerate(cross_data.VOICES.values())]
        store = types.SimpleNamespace(audio=lambda row: np.full(4 * data.RATE, row + 1, np.float32))
        with (
            mock.patch.object(cross_data, "AudioStore", lambda _: store),
            mock.patch.object(cross_data, "load_rows", lambda _: rows),
            mock.patch.object(cross_data, "training_rows", lambda rows: rows),
        ):
            for n in range(2, 9):
                for name in (f"ls_{n}", f"ls_{n}.quartz"):
                    soundfile.write(work / "cross" / f"{name}.wav", tone(5, 300 if "q" in name else 200), data.RATE)
            self.crossing = cross_data.Crossing(None, work, False)

    def tearDown(self):
        self.folder.cleanup()

    def test_a_batch_has_the_conversion_its_recording_and_the_same_voice_s_own(self):
        converted, recording, voice, own = self.crossing.batch(random.Random(0))
        self.assertEqual(converted.shape, (cross_data.CUTS, cross_data.LENGTH))
        self.assertEqual(set(voice.tolist()), {0})
        expected = list(cross_data.VOICES).index("quartz") + 1
        gains = own[:, 0] / expected
        self.assertTrue(((gains > 10**-0.41) & (gains < 10**0.31)).all())
        pitch = lambda audio: int(np.abs(np.fft.rfft(audio)).argmax()) * data.RATE / cross_data.LENGTH  # noqa: E731
        self.assertAlmostEqual(pitch(converted[0].numpy()), 300, delta=1)
        self.assertAlmostEqual(pitch(recording[0].numpy()), 200, delta=1)

    def test_conversions_are_at_one_level(self):
        converted, _, _ = self.crossing.conversions[0]
        self.assertAlmostEqual(float(converted.square().mean().sqrt()), cross_data.LEVEL, places=4)


class Judging(unittest.TestCase):
    def test_patches_depend_on_sound_and_voice(self):
        torch.manual_seed(0)
        patches = cross.Patches().eval()
        bands, bins = torch.randn(2, 64, 300), torch.randn(2, net.BINS, 300)
        one, other = (patches(bands, bins, torch.full((2, net.VOICE_LEN), n)) for n in (0.0, 1.0))
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

    def test_a_person_s_own_sound_is_near_and_another_s_is_far(self):
        torch.manual_seed(0)
        network = speaker.SpeakerNet().eval()
        sounds = [torch.from_numpy(tone(5, hz) * (1 + tone(5, hz * 7) * 5)) for hz in (150, 900)]
        targets = [cross_data.Target(torch.zeros(net.VOICE_LEN), sound) for sound in sounds]
        cut = lambda rng, number: targets[number].recordings[: cross_data.LENGTH]  # noqa: E731
        identity = cross.Identity([network], types.SimpleNamespace(targets=targets, cut=cut))
        spectra = net.stft(torch.stack([sound[: cross_data.LENGTH] for sound in sounds]))
        own, other = (identity.distance(spectra, torch.tensor(order)) for order in ([0, 1], [1, 0]))
        self.assertTrue((own < other).all(), (own, other))

    def test_the_mean_of_checkpoints_lies_between_them(self):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            for name, value in (("one", 1.0), ("two", 4.0)):
                network = net.RefineNet()
                torch.nn.init.constant_(network.head.bias, value)
                torch.save({"weights": network.state_dict()}, work / f"{name}.pt")
            cross.write_mean(work, "mean", ["one", "two"])
            self.assertTrue((net.load(work / "mean.pt").head.bias == 2.5).all())


class Speakers(unittest.TestCase):
    def test_level_does_not_matter_and_disturbing_keeps_the_shape(self):
        torch.manual_seed(0)
        network, ear = speaker.SpeakerNet().eval(), speaker.Ear()
        energies = torch.rand(3, 200, 64) + 0.1
        with torch.no_grad():
            one, other = (network(ear.heard(gain * energies)) for gain in (1.0, 5.0))
        self.assertLess((one - other).abs().max(), 1e-3)
        disturbed = ear.disturb(energies)
        self.assertEqual(disturbed.shape, energies.shape)
        self.assertTrue((disturbed > 0).all())
        self.assertGreater((torch.log(disturbed) - torch.log(energies)).abs().mean(), 0.1)

    def test_a_clone_is_made_of_the_seconds_that_were_asked_for(self):
        rows = [{"start_s": 0.0, "end_s": 10.0}, {"start_s": 3.0, "end_s": 13.0}, {"start_s": 0.0, "end_s": 9.0}]
        cut = cross_data.first_seconds(rows, 15)
        self.assertEqual([(row["start_s"], row["end_s"]) for row in cut], [(0.0, 10.0), (3.0, 8.0)])
        self.assertEqual(len(cross_data.first_seconds(rows, 60)), 3)


if __name__ == "__main__":
    unittest.main()
