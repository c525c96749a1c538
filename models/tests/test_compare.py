"""Checks of the comparison of two releases, on made-up numbers: what is there is found, what is not there is not."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

from eval import compare, figures, results

FIGURE = figures.FIGURES["ovr"]


def release(gain, clips=26, voices=4, noise=0.1, seed=1):
    """Rows of `clips` clips to `voices` voices. Clips differ by far more than `gain`; `noise` is of one conversion."""
    hard = np.random.default_rng(0).normal(3, 0.4, clips)  # the same in every release
    rng = np.random.default_rng(seed)
    return [
        {"table": "song", "mode": "default", "clip": f"c{c}", "voice": f"v{v}", "ovr": hard[c] + gain + rng.normal(0, noise)}
        for c in range(clips)
        for v in range(voices)
    ]


def verdicts(old, new):
    return {line["figure"]: line["verdict"] for line in compare.compare(old, new, 4000)}


class Difference(unittest.TestCase):
    def test_a_gain_is_found_though_clips_differ_more(self):
        self.assertIn("**better**", verdicts(release(0), release(0.1, seed=2))["ovr"])

    def test_a_loss_is_found(self):
        self.assertIn("**worse**", verdicts(release(0), release(-0.1, seed=2))["ovr"])

    def test_less_is_better_where_it_is(self):
        rows = lambda count: [row | {"errors": count, "words": 10} for row in release(0)]  # noqa: E731
        self.assertIn("**worse**", verdicts(rows(1), rows(3))["wer"])

    def test_the_same_release_twice_is_chance(self):
        self.assertEqual(verdicts(release(0), release(0))["ovr"], "chance")

    def test_no_difference_is_seldom_taken_for_one(self):
        apart = 0
        for seed in range(2, 102):
            found = compare.difference(release(0), release(0, seed=seed), FIGURE, 1000)
            apart += found["low"] > 0 or found["high"] < 0
        self.assertLessEqual(apart, 13)  # 5 are expected, more than 13 in one of a thousand runs

    def test_a_small_difference_in_few_clips_is_not_called_certain(self):
        old, new = release(0, clips=6, noise=0.3), release(0.03, clips=6, noise=0.3, seed=2)
        self.assertEqual(verdicts(old, new)["ovr"], "chance")

    def test_voices_of_one_clip_are_not_clips(self):
        """The same numbers four times over say no more than once."""
        old, new = release(0, voices=1, noise=0.3), release(0, voices=1, noise=0.3, seed=2)
        four = lambda rows: [row | {"voice": f"w{n}"} for row in rows for n in range(4)]  # noqa: E731
        once, often = (compare.difference(*pair, FIGURE) for pair in ((old, new), (four(old), four(new))))
        self.assertAlmostEqual(once["low"], often["low"], 6)
        self.assertAlmostEqual(once["chance"], often["chance"], 6)

    def test_its_size_and_interval_are_right(self):
        found = compare.difference(release(0), release(0.1, seed=2), FIGURE)
        self.assertTrue(found["low"] < 0.1 < found["high"])
        width = (found["high"] - found["low"]) / 2
        self.assertTrue(0.6 < width / (1.96 * 0.1 * 2**0.5 / 104**0.5) < 1.4, width)

    def test_few_clips_are_not_compared(self):
        self.assertIsNone(compare.difference(release(0, clips=4), release(1, clips=4), FIGURE))


class Matching(unittest.TestCase):
    def test_only_what_both_have_is_compared(self):
        old, new = release(0), release(5, seed=2)[:40]
        (line,) = compare.compare(old, new, 500)
        self.assertEqual(line["clips"], 10)
        self.assertFalse(compare.compare(old, [row | {"mode": "other"} for row in new], 500))

    def test_what_was_refused_by_either_is_left_out(self):
        old, new = release(0), release(0, seed=2)
        new = [row | {"refused": 1.0, "ovr": -50} if row["clip"] == "c0" else row for row in new]
        (line,) = compare.compare(old, new, 500)
        self.assertEqual(line["clips"], 25)

    def test_many_comparisons_raise_the_bar(self):
        self.assertEqual(compare.holm([0.02]).tolist(), [True])
        self.assertEqual(compare.holm([0.02, 0.9, 0.8]).tolist(), [False] * 3)
        self.assertEqual(compare.holm([0.001, 0.9, 0.02]).tolist(), [True, False, True])

    def test_folders_are_compared_and_empty_ones_refused(self):
        with tempfile.TemporaryDirectory() as place:
            place = Path(place)
            for name, rows in (("old", release(0)), ("new", release(0.2, seed=2))):
                kept = results.Results(place / name, "song")
                for row in rows:
                    kept.add(row["mode"], row["clip"], row["voice"], ovr=row["ovr"])
            self.assertIn("beyond chance", compare.against(place / "old", place / "new", place / "out"))
            (place / "empty").mkdir()
            with self.assertRaisesRegex(SystemExit, "no results"):
                compare.against(place / "old", place / "empty", place / "out")


class Kept(unittest.TestCase):
    def test_a_line_that_was_cut_off_is_made_again(self):
        with tempfile.TemporaryDirectory() as place:
            kept = results.Results(Path(place), "song")
            kept.add("default", "a", "v", ovr=3)
            with kept.path.open("a") as file:
                file.write('{"table": "song", "mo')
            kept = results.Results(Path(place), "song")
            self.assertTrue(kept.has("default", "a", "v"))
            kept.add("default", "b", "v", ovr=2)
            self.assertEqual([row["clip"] for row in results.load(kept.path)], ["a", "b"])


class Figures(unittest.TestCase):
    def test_shares_weigh_by_words_and_means_by_conversions(self):
        rows = [{"clip": "a", "errors": 1, "words": 2, "ovr": 2.0}, {"clip": "b", "errors": 0, "words": 8, "ovr": 3.0}]
        self.assertAlmostEqual(figures.value(rows, figures.FIGURES["wer"]), 10)
        self.assertAlmostEqual(figures.value(rows, figures.FIGURES["ovr"]), 2.5)
        self.assertIsNone(figures.value(rows, figures.FIGURES["norm"]))

    def test_what_was_not_measured_is_no_zero(self):
        rows = [{"clip": "a", "ovr": 3.0}, {"clip": "b", "ovr": float("nan")}, {"clip": "c", "ovr": None}, {"clip": "d"}]
        self.assertAlmostEqual(figures.value(rows, figures.FIGURES["ovr"]), 3)

    def test_spread_is_that_of_a_mean(self):
        rows = release(0, clips=200, voices=1)
        wanted = np.std([row["ovr"] for row in rows]) / 200**0.5
        self.assertAlmostEqual(figures.spread(rows, FIGURE) / wanted, 1, 1)


if __name__ == "__main__":
    unittest.main()
