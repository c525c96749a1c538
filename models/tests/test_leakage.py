"""Checks of the probes: they find what is there and nothing else."""

import unittest

import numpy as np

from train import leakage


class Probes(unittest.TestCase):
    def test_they_find_what_is_there_and_nothing_else(self):
        rng = np.random.default_rng(0)

        def speakers(leak):
            found = []
            for number in range(6):
                f0 = 150 * np.exp(rng.normal(0, 0.2, 400))
                key = rng.normal(0, 1, (400, 8))
                key[:, 0] += leak * 10 * np.log(f0 / 150)
                key[:, 1 + number] += leak * 3
                found.append((key, f0))
            return found

        told, silent = [(speakers(leak), speakers(leak)) for leak in (1, 0)]
        self.assertGreater(leakage.speaker_share(*told), 0.8)
        self.assertGreater(leakage.pitch_share(*told), 0.6)
        self.assertLess(leakage.speaker_share(*silent), 0.25)
        self.assertLess(leakage.pitch_share(*silent), 0.05)


if __name__ == "__main__":
    unittest.main()
