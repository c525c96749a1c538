"""Checks of the refiner's recipe that need no data. Run `python -m unittest discover tests` in `models/`."""

import json
import random
import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx
import torch

from train import data, frozen, net as content_net, refine, refine_export, refine_net as net, refine_pairs, virtual
from train.export import test_signal


def trained():
    """A network whose every part matters, as after training."""
    torch.manual_seed(0)
    network = net.RefineNet().eval()
    for layer in [network.head, network.phones, *(block.narrow for block in network.blocks)]:
        torch.nn.init.normal_(layer.weight, std=0.05)
    return network


def said(frames):
    """Phones' probabilities, `[1, frames, 40]`."""
    return torch.softmax(torch.randn(1, frames, net.PHONES, generator=torch.Generator().manual_seed(1)) * 2, 2)


def frames_of(samples, seed=0):
    noise = np.random.default_rng(seed).normal(0, 0.01, samples).astype(np.float32)
    return net.features(net.stft(torch.from_numpy(test_signal(samples) + noise)[None]))


class Features(unittest.TestCase):
    def test_match_the_definition(self):
        audio = test_signal(8000).astype(np.float64) * np.repeat([1, 0, 0.01, 1, 0.3], 1600)
        padded = np.pad(audio, 240)
        window = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480))
        expected, level = [], None
        for frame in range(8000 // 160 + 1):
            power = np.abs(np.fft.rfft(padded[160 * frame : 160 * frame + 480] * window)) ** 2 + 1e-9
            mean = power.mean()
            level = max(mean if level is None else 0.99 * level + 0.01 * mean, 1e-7)
            bins = np.clip(np.log(power / level), -14, 8) / 4
            expected.append([*bins, np.clip(np.log(mean / level), -10, 5) / 3])
        found = net.features(net.stft(torch.from_numpy(audio.astype(np.float32))[None]))[0].numpy()
        # Single precision leaves leakage below the loud bins that double precision does not have.
        self.assertLess(np.abs(found - expected).max(), 2e-2)
        self.assertLess(np.abs(found - expected).mean(), 1e-4)


class Network(unittest.TestCase):
    def test_untrained_changes_nothing(self):
        with torch.no_grad():
            self.assertEqual(float(net.RefineNet()(frames_of(4800), torch.zeros(1, net.VOICE_LEN), said(31)).abs().max()), 0)

    def test_gain_depends_on_two_frames_of_future_only(self):
        network, frames, voice = trained(), torch.randn(1, 60, net.FEATURES), torch.randn(1, net.VOICE_LEN)
        changed = frames.clone()
        changed[:, 30:] += 1
        phones = said(60)
        with torch.no_grad():
            same = (network(frames, voice, phones) - network(changed, voice, phones)).abs().amax(2)[0] < 1e-6
        self.assertTrue(same[:28].all())
        self.assertFalse(same[28])

    def test_exported_graph_equals_the_batch_after_its_start(self):
        network, voice = trained(), torch.randn(net.VOICE_LEN)
        frames, phones = frames_of(160 * 100), said(101)
        with torch.no_grad():
            whole = network(frames, voice[None], phones)[0].numpy()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "refine.onnx"
            onnx.save(refine_export.build(network), path)
            gains = refine_export.stream(path, frames[0].numpy(), voice.numpy(), phones[0].numpy())[net.LOOK_AHEAD :]
            kept = refine_export.parity(path)
        # The stream's first two answers are of frames before the start, which the other blocks go on hearing of.
        heard = net.LOOK_AHEAD + net.BLOCKS * (net.TAPS - 1)
        self.assertGreater(np.abs(whole).max(), 0.1)
        self.assertLess(np.abs(gains[heard:] - whole[heard : -net.LOOK_AHEAD]).max(), 1e-4)
        self.assertEqual(np.shape(kept["gain"]), (refine_export.PARITY_CALLS, net.BINS))
        self.assertEqual(np.shape(kept["features"]), (refine_export.PARITY_CALLS, net.FEATURES))


def manifest():
    """A small speech set: the voices of people, those who are cloned, and readers, held-out ones among them."""
    held = {speaker for part in data.load_split().values() for speaker in part}
    readers = [f"ls_9{n:03}" for n in range(300)] + ["ls_19"] + sorted(held)
    counts = [(speaker, 300) for speaker, _, _ in refine_pairs.EMBEDDED]
    counts += [(speaker, 30) for speaker in refine_pairs.CLONED] + [(speaker, 3) for speaker in readers]
    rows = []
    for speaker, count in counts:
        corpus = {"ls": "librispeech", "so": "speechocean762", "fd": "fleursdumal"}.get(speaker[:2], speaker)
        for n in range(count):
            row = {"row": len(rows), "speaker": speaker, "corpus": corpus, "sex": "mf"[int(speaker[-1], 36) % 2], "age": 30}
            rows.append(row | {"start_s": 20.0 * n, "end_s": 20.0 * n + 14, "file": f"{speaker}.opus"})
    return rows, held


class Pairs(unittest.TestCase):
    def setUp(self):
        self.rows, self.held = manifest()
        self.plan = refine_pairs.plan(self.rows)

    def test_leave_out_who_is_held_out(self):
        used = [row for chunk in self.plan.chunks for row in chunk.rows]
        used += [row for rows in self.plan.clones.values() for row in rows]
        self.assertFalse({row["speaker"] for row in used} & (self.held | {"ls_19"}))
        self.assertFalse({row["row"] for row in used} & data.reference_rows(self.rows))
        self.assertFalse(set(self.plan.legs) & (self.held | {"ls_19"}))
        self.assertEqual(len(self.plan.legs), 14 + 8 + 8 + len(refine_pairs.CLONED))

    def test_leave_out_what_is_in_a_bank(self):
        for speaker, voice, _ in refine_pairs.EMBEDDED:
            own = [row["row"] for row in self.rows if row["speaker"] == speaker][:270]
            count = -(-600 // 14)  # rows of 14 s in the ten minutes of `voices.rs`
            banked = {own[n * 270 // count] for n in range(count)}
            chunks = [chunk for chunk in self.plan.chunks if chunk.voice == voice]
            self.assertGreater(len(chunks), 5)
            self.assertFalse({row["row"] for chunk in chunks for row in chunk.rows} & banked)
        for speaker in refine_pairs.CLONED:
            cloned = {row["row"] for row in self.plan.clones[speaker]}
            chunks = [chunk for chunk in self.plan.chunks if chunk.voice == speaker]
            self.assertTrue(chunks and cloned)
            self.assertFalse({row["row"] for chunk in chunks for row in chunk.rows} & cloned)

    def test_complaint_of_the_program_is_passed_on(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "coffre"
            program.write_text("#!/bin/sh\necho first >&2\necho no such voice >&2\nexit 2\n")
            program.chmod(0o755)
            with self.assertRaisesRegex(RuntimeError, "no such voice"):
                refine_pairs.Program(program, None, Path(folder), {}, "part0").median("quartz")


class ManyVoices(unittest.TestCase):
    def test_no_recording_is_heard_in_its_own_voice(self):
        def row(speaker, number, corpus, length):
            span = {"file": speaker, "start_s": 20.0 * number, "end_s": 20.0 * number + length}
            return {"row": number, "speaker": speaker, "corpus": corpus, "age": 30} | span

        learners = [row("so_1", n, "speechocean762", 4.0) for n in range(20)]
        readers = [row(f"ls_{n}", n, "librispeech", 14.0) for n in range(3)]
        chunks, clones = refine_pairs.chunks_of_many(learners + readers, readers)
        self.assertEqual({chunk.name.split("-")[0] for chunk in chunks}, {"so_1"} | {f"ls_{n}{half}" for n in range(3) for half in "ab"})
        for chunk in chunks:
            for heard in chunk.rows:
                for known in clones[chunk.voice]:
                    apart = heard["end_s"] <= known["start_s"] or known["end_s"] <= heard["start_s"]
                    self.assertTrue(apart or heard["file"] != known["file"])

    def test_a_virtual_voice_is_described_as_it_sounds(self):
        voice = (np.sin(np.arange(128) * 0.2) - 1).astype(np.float32)
        np.testing.assert_allclose(virtual.described(voice, np.zeros(virtual.POINTS), 1.0), voice, atol=1e-5)
        bright = virtual.described(voice, np.linspace(-6, 6, virtual.POINTS), 1.0) - voice
        self.assertGreater(bright[63], bright[0] + 0.5)
        peak = np.zeros(virtual.BANDS)
        peak[30] = 1.0
        moved = virtual.HZ[virtual.scaled(peak, 1.1).argmax()]
        self.assertAlmostEqual(moved / virtual.HZ[30], 1.1, delta=0.03)


class Training(unittest.TestCase):
    def step(self, training, seed):
        """A step on a short batch; what came back is the recording at half its level above 4 kHz."""
        clean = torch.randn(1, 48320, generator=torch.Generator().manual_seed(3)) * 0.1
        spectra = torch.fft.rfft(clean)
        spectra[:, spectra.shape[1] // 2 :] *= 0.5
        pair = (torch.fft.irfft(spectra, 48320)[0], clean[0], torch.zeros(net.VOICE_LEN))
        return training.step(0.5, *(part[:1, :4800] for part in refine.batch(random.Random(seed), [pair])[:2]), pair[2][None])

    def test_steps_bring_the_gains_nearer(self):
        torch.manual_seed(0)
        training = refine.Training("cpu", 3e-3)
        first = self.step(training, 0)
        for _ in range(40):
            last = self.step(training, 0)
        self.assertLess(last[0], 0.8 * first[0])

    def test_the_content_encoder_is_listened_to(self):
        torch.manual_seed(0)
        training = refine.Training("cpu", 3e-3, content=1.0)
        first = self.step(training, 0)
        for _ in range(40):
            last = self.step(training, 0)
        self.assertGreater(first[2], 0.02)
        self.assertLess(last[2], 0.8 * first[2])

    def test_checkpoint_goes_on_where_it_was(self):
        torch.manual_seed(0)
        one, two = (refine.Training("cpu", 1e-3) for _ in range(2))
        self.step(one, 0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "refine.pt"
            one.save(path)
            two.resume(path)
            loaded = net.load(path)
        for name, weight in loaded.state_dict().items():
            torch.testing.assert_close(weight, one.shadow.state_dict()[name], rtol=0, atol=0)
        self.assertEqual(self.step(one, 1), self.step(two, 1))
        self.assertEqual(self.step(one, 2), self.step(two, 2))


class Frozen(unittest.TestCase):
    def test_the_shipped_graphs_are_read_back(self):
        frames, phones = torch.randn(100, net.FEATURES), said(100)
        path, voice = data.REPO / "models" / "refine.onnx", torch.randn(net.VOICE_LEN)
        gains = refine_export.stream(path, frames.numpy(), voice.numpy(), phones[0].numpy())[net.LOOK_AHEAD :]
        with torch.no_grad():
            whole = frozen.refiner(path)(frames[None], voice[None], phones)[0].numpy()
        heard = net.LOOK_AHEAD + net.BLOCKS * (net.TAPS - 1)
        self.assertLess(np.abs(gains[heard:] - whole[heard : -net.LOOK_AHEAD]).max(), 1e-4)

    def test_the_content_encoders_answer_as_their_graphs(self):
        for stem in ("content", "content_mix"):
            kept = json.loads((data.REPO / "tests" / "data" / f"{stem}_parity.json").read_text())
            with torch.no_grad():
                logits = frozen.content(data.REPO / "models" / f"{stem}.onnx")(torch.tensor(kept["mel"])[None])[0][0]
            found = torch.log_softmax(logits / content_net.TEMPERATURE, 1)
            self.assertLess(float((found - torch.tensor(kept["logp"])).abs().max()), 1e-4)


if __name__ == "__main__":
    unittest.main()
