"""Checks of the corrector's recipe. They need the packages of `train/requirements.txt`."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

try:
    import onnx
    import torch

    from train import correct, refine_export, refine_net
except ImportError as missing:
    raise unittest.SkipTest(f"the recipe's packages are not installed: {missing}") from missing


def frames(count, seed=0):
    """Features, a voice and phones of `count` frames."""
    shapes = (count, correct.FEATURES), (refine_net.VOICE_LEN,), (count, refine_net.PHONES)
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def trained():
    """A network that answers something."""
    torch.manual_seed(1)
    network = correct.network()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, 0, 0.1)
    return network.eval()


class Network(unittest.TestCase):
    def test_untrained_it_changes_nothing(self):
        told, voice, phones = frames(9)
        self.assertEqual(float(correct.network()(told[None], voice[None], phones[None]).detach().abs().max()), 0)

    def test_it_never_looks_ahead(self):
        (told, voice, phones), network = frames(40), trained()
        with torch.no_grad():
            whole = network(told[None], voice[None], phones[None])[0]
            begin = network(told[None, :25], voice[None], phones[None, :25])[0]
        self.assertLess(float((whole[:25] - begin).abs().max()), 1e-5)

    def test_the_graph_gives_frame_by_frame_what_the_network_gives(self):
        (told, voice, phones), network = frames(30), trained()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "correct.onnx"
            onnx.save(refine_export.build(network, "correct", shows_hidden=False), path)
            streamed = refine_export.stream(path, told.numpy(), voice.numpy(), phones.numpy())
        with torch.no_grad():
            wanted = network(told[None], voice[None], phones[None])[0].numpy()
        self.assertLess(np.abs(streamed - wanted).max(), 1e-4)
        self.assertGreater(np.abs(wanted).max(), 0.1)


class Loss(unittest.TestCase):
    told = frames(20)[0][None]
    wanted = torch.randn(1, 20, correct.BANDS, generator=torch.Generator().manual_seed(3))

    def test_the_level_of_a_frame_does_not_count_and_its_shape_does(self):
        louder = self.wanted + torch.randn(1, 20, 1)
        self.assertLess(float(correct.loss(louder, self.wanted, self.told)), 1e-10)
        self.assertGreater(float(correct.loss(0 * louder, self.wanted, self.told)), 0.1)

    def test_bands_that_nobody_hears_do_not_count(self):
        told = self.told.clone()
        told[:, :, :10], told[:, :, 10 : correct.BANDS] = 0, -3.5
        wrong = self.wanted.clone()
        wrong[:, :, 10:] += torch.randn(correct.BANDS - 10)
        heard = self.wanted.clone()
        heard[:, :, :10] += torch.randn(10)
        self.assertLess(correct.loss(wrong, self.wanted, told), 0.15 * correct.loss(heard, self.wanted, told))


if __name__ == "__main__":
    unittest.main()
