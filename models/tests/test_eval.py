"""Checks of the judge's arithmetic. They need the packages of `eval/requirements.txt`."""

import unittest

import numpy as np

try:
    from eval import measure, report
except ImportError as missing:
    raise unittest.SkipTest(f"the judge's packages are not installed: {missing}") from missing


class Measures(unittest.TestCase):
    def test_word_errors_are_edits(self):
        self.assertEqual(measure.edit_distance("a b c".split(), "a x c d".split()), 2)
        self.assertEqual(measure.edit_distance(["a"], []), 1)

    def test_unigram_counts_its_words(self):
        self.assertIn("ngram 1=4", measure.unigram(["one", "two"]))

    def test_pitch_error_of_a_known_shift(self):
        commanded = np.array([100.0, 100, 100, 0, 0])
        found = np.array([100 * 2 ** (10 / 1200), 100 * 2 ** (10 / 1200), 200, 0, 100])
        error = measure.pitch_error(commanded, found)
        self.assertAlmostEqual(error["cents"], 10, places=3)
        self.assertAlmostEqual(error["gross"], 100 / 3)
        self.assertAlmostEqual(error["voicing"], 20)

    def test_gain_is_no_loudness_error(self):
        audio = np.random.default_rng(0).normal(0, 0.1, 16000) * np.linspace(0.2, 1, 16000)
        self.assertLess(measure.loudness_error(audio, audio * 0.5), 0.01)

    def test_norm_is_the_way_to_the_target(self):
        row = {"target": 0.7, "source": 0.6, "closer": 1.0, "source_target": 0.5, "target_target": 0.9, "group": "native"}
        line = report.summarise([row | {"errors": 1, "words": 4}])
        self.assertAlmostEqual(line["norm"], 0.5)
        self.assertAlmostEqual(line["wer"], 25)


if __name__ == "__main__":
    unittest.main()
