"""Checks of the sounds with known F0 and of the judge that learns from them. They need no data."""

import re
import unittest

import numpy as np
import torch

from train import f0, f0_net, f0_truth


def rows_of(text, name):
    """Weights and biases of a layer in the Rust file."""
    body = text.split(f"const {name}:")[1].split("};")[0]
    weights, biases = body.split("biases:")
    rows = re.findall(r"\[([^\[\]]+)\]", weights.split("weights:")[1])
    parse = lambda row: [float(value) for value in row.split(",") if value.strip()]  # noqa: E731
    return np.array([parse(row) for row in rows]), np.array(parse(re.search(r"\[(.*)\]", biases, re.S)[1]))


class Truth(unittest.TestCase):
    def test_pulses_have_equal_harmonics_of_exactly_this_f0(self):
        spectrum = np.abs(np.fft.rfft(f0_truth.pulses(np.full(16000, 200.0)))) / 8000
        harmonics = spectrum[200:7200:200]
        np.testing.assert_allclose(harmonics, harmonics[0], rtol=1e-6)
        self.assertLess(np.delete(spectrum[:7400], np.arange(0, 7400, 200)).max(), 1e-6)

    def test_a_filter_does_not_move_the_pitch(self):
        rng = np.random.default_rng(0)
        steady = np.tile(f0_truth.vowel(rng, np.full(f0_truth.HOP, 150.0))[:1], (16000 // f0_truth.HOP + 1, 1))
        audio = f0_truth.through(f0_truth.pulses(np.full(16000, 150.0)), steady)
        spectrum = np.abs(np.fft.rfft(audio[4000:12000] * np.hanning(8000)))
        # Bins of 2 Hz: harmonics are at multiples of 75, and nothing is 50 Hz off.
        self.assertLess(spectrum[75 * 3 + 25], 0.01 * spectrum[75 * 3])

    def test_a_phrase_says_where_it_is_voiced(self):
        for kind in f0.KINDS:
            truth = f0_truth.sung(np.random.default_rng(1), 100, 400, kind)
            level = np.sqrt(np.mean(truth.audio[: len(truth.f0) // 1 * 160 - 160].reshape(-1, 160) ** 2, 1))
            sure = truth.known[: len(level)]
            self.assertLess(level[sure & (truth.f0[: len(level)] == 0)].max(), 0.002)
            self.assertGreater(np.median(level[sure & (truth.f0[: len(level)] > 0)]), 0.02)
            voiced = truth.f0[truth.f0 > 0]
            self.assertTrue(90 < voiced.min() and voiced.max() < 440)

    def test_a_recording_is_said_again_an_octave_higher(self):
        rng = np.random.default_rng(2)
        original = f0_truth.sung(rng, 110, 130, "held")
        again = f0_truth.said_again(rng, original.audio.astype(float), 1.0)
        both = (again.f0 > 0) & (original.f0[: len(again.f0)] > 0)
        self.assertGreater(both.sum(), 100)
        octaves = np.log2(again.f0[both] / original.f0[: len(again.f0)][both])
        self.assertLess(np.abs(np.median(octaves) - 1), 0.05)

    def test_disturbances_keep_the_truth(self):
        rng = np.random.default_rng(3)
        truth = f0_truth.sung(rng, 100, 400, "steps")
        for kind in f0_truth.DISTURBANCES:
            other = f0_truth.disturb(rng, truth, kind)
            np.testing.assert_array_equal(other.f0, truth.f0)
            self.assertEqual(np.array_equal(other.audio, truth.audio), kind in ("clean", "creak"), kind)

    def test_errors_are_counted_by_kind(self):
        truth = f0_truth.Truth(np.zeros(1600), np.array([100.0, 100, 100, 100, 0, 0, 100]), np.array([1, 1, 1, 1, 1, 1, 0], bool))
        counts, cents = f0.errors(truth, np.array([100.0, 200, 125, 0, 0, 100, 50]))
        self.assertEqual(counts.tolist(), [4, 3, 2, 1, 1, 2, 1])
        self.assertAlmostEqual(float(cents.max()), 1200)


class Judge(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(0)
        blocks = np.zeros((300, f0_net.AHEAD, f0_net.BLOCK), np.float32)
        blocks[..., :2], blocks[..., 3] = rng.uniform(-40, 0, (300, 3, 2)), 2
        candidates = blocks[..., 4:].reshape(300, 3, f0_net.CANDIDATES, -1)
        candidates[:, :, 0, 0], candidates[:, :, 1, 0] = 200, 100
        candidates[:, :, :2, 1:] = rng.uniform(0, 1, (300, 3, 2, f0_net.CLUES))
        candidates[:, :, 0, 1] += 1  # the right one repeats better
        voiced = np.arange(300) < 200
        blocks[~voiced, :, 4:] *= np.where(np.arange(f0_net.BLOCK - 4) % 12 == 0, 1, 0.2)
        self.blocks = blocks
        self.truth = f0_truth.Truth(None, np.where(voiced, 202.0, 0.0), np.ones(300, bool))

    def test_answers_are_the_nearest_candidates(self):
        *_, answer = f0_net.examples(self.truth, self.blocks, False)
        self.assertEqual(sorted(set(answer.tolist())), [0, 1])
        far = f0_truth.Truth(None, np.full(300, 150.0), np.ones(300, bool))
        self.assertEqual(len(f0_net.examples(far, self.blocks, False)[-1]), 0)

    def test_it_learns_and_the_written_weights_are_its_own(self):
        found = f0_net.examples(self.truth, self.blocks, False)
        judge = f0_net.fit(found, 60, batch=128)
        each, frame, there, answer = (torch.from_numpy(value) for value in found)
        with torch.no_grad():
            logs = judge(each, frame, there).numpy()
        self.assertGreater((logs.argmax(1) == answer.numpy()).mean(), 0.9)
        text = f0_net.rust(judge, 1.0)
        layers = {name: rows_of(text, name) for name in ("SCORE_1", "SCORE_2", "SCORE_3", "NONE_1", "NONE_2")}

        def run(x, *names):
            for name in names:
                weights, biases = layers[name]
                x = x @ weights.T + biases
                x = x if name == names[-1] else np.maximum(x, 0)
            return x[..., 0]

        score = np.where(there.numpy(), run(each.numpy(), "SCORE_1", "SCORE_2", "SCORE_3"), -1e4)
        score -= np.log(np.exp(score).sum(1, keepdims=True))
        none = run(frame.numpy(), "NONE_1", "NONE_2")[:, None]
        every = np.concatenate([-np.log1p(np.exp(-none)), score - np.log1p(np.exp(none))], 1)
        np.testing.assert_allclose(np.maximum(every, -20), np.maximum(logs, -20), atol=0.02)


if __name__ == "__main__":
    unittest.main()
