"""Checks of the pictures of the voices. Run `python -m unittest discover tests` in `models/`."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

from train import data, portraits


class Portraits(unittest.TestCase):
    def test_every_embedded_voice_has_its_own(self):
        voices = {path.stem for path in (data.REPO / "models" / "voices").glob("*.coffre")}
        self.assertEqual(voices, set(portraits.LOOKS))
        means = {name: portraits.draw(name).mean((0, 1)) for name in portraits.LOOKS}
        for name, mean in means.items():
            others = [np.abs(mean - other).max() for known, other in means.items() if known != name]
            self.assertGreater(min(others), 0.04, name)

    def test_a_picture_is_the_same_every_time(self):
        picture = portraits.draw("opal")
        self.assertEqual(picture.shape, (portraits.SIDE, portraits.SIDE, 3))
        self.assertTrue((picture >= 0).all() and (picture <= 1).all())
        self.assertTrue((picture == portraits.draw("opal")).all())

    def test_files_are_written(self):
        with tempfile.TemporaryDirectory() as folder:
            portraits.run(Path(folder))
            for name in portraits.LOOKS:
                self.assertTrue((Path(folder) / f"{name}.png").read_bytes().startswith(b"\x89PNG"))


if __name__ == "__main__":
    unittest.main()
