"""Checks of the judge's arithmetic. They need the packages of `eval/requirements.txt`."""

import unittest

import numpy as np

try:
    import soundfile

    from eval import fine, measure, notes, report, seeds, sources
    from train import f0_truth
    from train.data import REPO
except ImportError as missing:
    raise unittest.SkipTest(f"the judge's packages are not installed: {missing}") from missing


class Notes(unittest.TestCase):
    class Exact:
        """An instrument that hears the truth, so many cents off and silent at the end."""

        def __init__(self, truth, cents):
            self.truth, self.cents = truth, cents

        def timed(self, audio):
            times = np.arange(0, len(audio) / 16000, 0.016)
            wanted = np.nan_to_num(notes.commanded(self.truth, times, 5))
            return times, np.where(times < 1.2, wanted * 2 ** (self.cents / 1200), 0)

    def test_the_list_spans_the_range_of_singers(self):
        phrases = notes.sung()
        self.assertEqual(len(phrases), len({phrase.name for phrase in phrases}))
        truths = [phrase.truth for phrase in phrases]
        hz = np.concatenate([truth.f0[truth.f0 > 0] for truth in truths])
        self.assertTrue(70 < hz.min() < 110 and 700 < hz.max() < 1100, (hz.min(), hz.max()))
        self.assertTrue(all((truth.known & (truth.f0 > 0)).mean() > 0.5 for truth in truths))

    def test_an_error_of_a_known_size_is_found(self):
        truth = notes.sung()[1].truth
        error = notes.error(self.Exact(truth, 7), truth, truth.audio, 5)
        self.assertAlmostEqual(error["cents"], 7, places=3)
        self.assertEqual(error["gross"], 0)
        self.assertGreater(error["voicing"], 20)
        off = notes.error(self.Exact(truth, 1200), truth, truth.audio, 5)
        self.assertEqual(off["gross"], 100)

    def test_the_instrument_hears_the_notes(self):
        truth = notes.sung()[4].truth
        error = notes.error(measure.Pitch(), truth, truth.audio)
        self.assertLess(error["cents"], 5)
        self.assertLess(error["fine"], 1.5)
        self.assertLess(error["gross"], 1)

    def test_the_table_has_a_line_per_mode(self):
        about = {"phrase": "a", "kind": "sung", "cents": 2.0, "fine": 1.0, "gross": 0.5, "voicing": 1.0}
        rows = [about | {"mode": mode} for mode in ("original", "default")]
        self.assertIn("| sung, default | 1 | 2.0 | 1.0 | 0.5 | 1.0 |", notes.table(rows))


class Fine(unittest.TestCase):
    def test_a_vowel_is_found_within_two_cents_from_wherever_it_starts(self):
        truth = f0_truth.sung(np.random.default_rng(4), 150, 160, "held")
        times = np.arange(0.4, 2.0, 0.02)
        wanted = notes.commanded(truth, times)
        for cents in (-40, 0, 40):
            found = fine.refined(truth.audio, times, wanted * 2 ** (cents / 1200))
            self.assertLess(np.median(np.abs(1200 * np.log2(found / wanted))), 2)

    def test_silence_and_what_has_no_room_stay_as_they_are(self):
        f0, times = np.array([120.0, 0.0, 120.0]), np.array([0.0, 0.5, 1.0])
        np.testing.assert_array_equal(fine.refined(np.zeros(16000, np.float32), times, f0), f0)


class Seeds(unittest.TestCase):
    clip = np.sin(np.arange(16000) * 0.1).astype(np.float32) * 0.1

    def test_the_first_is_the_clip_and_the_others_are_each_their_own(self):
        self.assertTrue((seeds.moved(self.clip, 0) == self.clip).all())
        moved = [seeds.moved(self.clip, seed) for seed in (1, 2, 1)]
        self.assertTrue(np.array_equal(moved[0], moved[2]))
        self.assertFalse(np.array_equal(moved[0][-1000:], moved[1][-1000:]))

    def test_a_clip_is_late_by_a_hop_and_off_by_a_decibel_at_most(self):
        for seed in range(1, 30):
            moved = seeds.moved(self.clip, seed)
            late = len(moved) - len(self.clip)
            self.assertTrue(0 < late <= 160)
            gain = moved[late:] @ self.clip / (self.clip @ self.clip)
            self.assertLess(abs(20 * np.log10(gain)), 1.001)
            self.assertLess(np.abs(moved[late:] - gain * self.clip).max(), 4e-5)

    def test_the_table_means_over_conversions_and_spreads_within_them(self):
        scores = {("a", 0): 3.0, ("a", 1): 3.2, ("b", 0): 2.0, ("b", 1): 2.2}
        rows = [{"clip": clip, "voice": "v", "mode": "default", "seed": n, "ovr": ovr} for (clip, n), ovr in scores.items()]
        self.assertIn("| default | 2 | 2.500 | 2.700 | 2.600 | 0.141 |", seeds.table(rows))


class Measures(unittest.TestCase):
    def test_word_errors_are_edits(self):
        self.assertEqual(measure.edit_distance("a b c".split(), "a x c d".split()), 2)
        self.assertEqual(measure.edit_distance(["a"], []), 1)

    def test_what_was_heard_before_does_not_count(self):
        spoken, rate = soundfile.read(REPO / "tests" / "data" / "vocal.flac", dtype="float32")
        spoken = sources.resample(spoken, rate)
        other = np.cumsum(spoken) * 0.1  # of another colour

        def score(*sounds):
            words = measure.Words(["one two three four five six seven"])
            for sound in sounds:
                words.errors(sound, "one two three")
            return words.decoder.hyp().score

        self.assertEqual(score(spoken), score(other, spoken))

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
