"""Judge and train never share a speaker or singer. What is checked is the lists that the stages and tables really use."""

import unittest

from train import data

try:
    from eval import clones, knob, song, sources
except ImportError:
    clones = knob = song = sources = None

SPEECH, SINGING = data.speech_dir(), data.singing_dir()
SETS = [folder for folder in (SPEECH, SINGING) if (folder / "manifest.jsonl").exists()]


class Lists(unittest.TestCase):
    def setUp(self):
        self.split = data.load_split()

    def test_validation_and_judge_have_nobody_in_common(self):
        self.assertFalse(set(self.split["validation"]) & set(self.split["judge"]))

    def test_nobody_is_listed_twice(self):
        for part in self.split.values():
            self.assertEqual(len(part), len(set(part)))

    def test_training_rows_leave_every_listed_speaker_and_singer_out(self):
        listed = [name for part in self.split.values() for name in part]
        rows = [{"row": n, "speaker": name, "corpus": "any", "age": None} for n, name in enumerate([*listed, "somebody"])]
        self.assertEqual([row["speaker"] for row in data.training_rows(rows)], ["somebody"])


@unittest.skipUnless(len(SETS) == 2, "the speech or singing set is not here")
class Sets(unittest.TestCase):
    def setUp(self):
        self.speech, self.singing = data.load_rows(SPEECH), data.load_rows(SINGING)
        self.judge = set(data.load_split()["judge"])

    def test_every_listed_name_exists(self):
        known = {row["speaker"] for row in self.speech + self.singing}
        self.assertFalse({name for part in data.load_split().values() for name in part} - known)

    def test_train_and_judge_share_no_singer_and_no_file(self):
        training = data.training_rows(self.singing)
        judged = [row for row in self.singing if row["speaker"] in self.judge]
        self.assertTrue(training and judged)
        for key in ("speaker", "file", "corpus"):
            self.assertFalse({row[key] for row in training} & {row[key] for row in judged}, key)

    def test_train_and_judge_share_no_speaker(self):
        self.assertFalse({row["speaker"] for row in data.training_rows(self.speech)} & self.judge)

    @unittest.skipIf(sources is None, "the judge's packages are not installed")
    def test_the_tables_take_their_people_from_the_judges_list_alone(self):
        taken = {row["speaker"] for row in sources.chosen_rows(self.speech, False)}
        taken |= {row["speaker"] for row in song.singing_rows(self.singing)} | {row["speaker"] for row in song.spoken_rows(self.speech)}
        taken |= set(clones.TARGETS) | {row["speaker"] for row in clones.source_rows(self.speech)}
        taken |= {row["speaker"] for row in knob.spoken_rows(self.speech)}
        self.assertTrue(taken)
        self.assertFalse(taken - self.judge)


if __name__ == "__main__":
    unittest.main()
