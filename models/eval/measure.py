"""The measures. Each takes 16 kHz audio; the networks come inside their packages, nothing is downloaded.

Similarity is resemblyzer's cosine (Wan et al. 2018), quality DNSMOS (Reddy et al. 2022), words pocketsphinx with a
uniform unigram over the test's own words, F0 SwiftF0, which is not the plugin's tracker.
"""

import math
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pocketsphinx
import scipy.ndimage
from swift_f0 import SwiftF0

if "scipy.ndimage.morphology" not in sys.modules:  # resemblyzer imports a name that newer SciPy dropped
    morphology = types.ModuleType("scipy.ndimage.morphology")
    morphology.binary_dilation = scipy.ndimage.binary_dilation
    sys.modules["scipy.ndimage.morphology"] = morphology

from resemblyzer import VoiceEncoder, preprocess_wav  # noqa: E402
from speechmos import dnsmos  # noqa: E402

from train import lexicon  # noqa: E402

RATE = 16000


class Similarity:
    """Speaker embeddings and their cosine."""

    def __init__(self):
        self.encoder = VoiceEncoder("cpu", verbose=False)

    def embed(self, audio):
        return self.encoder.embed_utterance(preprocess_wav(audio, source_sr=RATE))

    def centre(self, clips):
        """Unit-length mean embedding."""
        mean = np.mean([self.embed(audio) for audio in clips], axis=0)
        return mean / np.linalg.norm(mean)


def quality(audio):
    """DNSMOS `{"sig", "bak", "ovr"}`."""
    result = dnsmos.run(np.clip(audio, -1, 1), RATE)
    return {short: float(result[f"{long}_mos"]) for short, long in (("sig", "sig"), ("bak", "bak"), ("ovr", "ovrl"))}


class Words:
    """Word errors against transcripts, by a recogniser that knows only the test's words, all equally likely."""

    def __init__(self, texts):
        plain = pocketsphinx.Decoder(lm=None, loglevel="FATAL")
        self.known = lambda word: plain.lookup_word(word) is not None
        vocabulary = sorted({word for text in texts for word in lexicon.words(text, self.known)})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "words.lm"
            path.write_text(unigram(vocabulary))
            # Cepstral means of the clip itself: by default they are those of the clips before.
            self.decoder = pocketsphinx.Decoder(lm=None, loglevel="FATAL", cmn="batch")
            for word in vocabulary:
                phones = None if self.known(word) else lexicon.guess(word)
                if phones:
                    self.decoder.add_word(word, phones, True)
            self.decoder.add_lm("words", pocketsphinx.NGramModel(self.decoder.config, self.decoder.logmath, str(path)))
            self.decoder.activate_search("words")

    def errors(self, audio, text):
        """`(errors, words)` of one clip."""
        level = audio / max(float(np.sqrt(np.mean(audio**2))), 1e-4) * 0.06
        self.decoder.reinit_feat()  # else it remembers the clip before, and the order counts
        self.decoder.start_utt()
        self.decoder.process_raw((np.clip(level, -0.99, 0.99) * 32767).astype("<i2").tobytes(), full_utt=True)
        self.decoder.end_utt()
        heard = [s.word.split("(")[0] for s in self.decoder.seg() or [] if s.word[0] not in "<["]
        said = lexicon.words(text, self.known)
        return edit_distance(said, heard), len(said)


def words_by_reader(clips):
    """A recogniser for the readers (`True`) and one for everybody else, so that the words of the ones do not make those of
    the others harder."""
    texts = {is_reader: [c.text for c in clips if c.text and (c.group == "readers") == is_reader] for is_reader in (False, True)}
    return {is_reader: Words(found) for is_reader, found in texts.items()}


def unigram(words):
    """ARPA language model with equal probabilities."""
    share = -math.log10(len(words) + 1)
    lines = [f"{share:.4f} {word}" for word in ["</s>", *words]]
    return "\n".join(["\\data\\", f"ngram 1={len(words) + 2}", "", "\\1-grams:", "-99 <s>", *lines, "", "\\end\\", ""])


def edit_distance(said, heard):
    """Substitutions + insertions + deletions (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1]


class Pitch:
    """F0 per 16 ms frame, 0 where unvoiced."""

    def __init__(self):
        self.tracker = SwiftF0(threads=1)

    def track(self, audio):
        return self.timed(audio)[1]

    def timed(self, audio):
        """The times of the frames in seconds, and the F0."""
        result = self.tracker.detect(audio, RATE)
        return np.asarray(result.timestamps), np.where(result.confidence >= 0.5, result.pitch_hz, 0.0)

    def median(self, clips):
        """Median F0 of the voiced frames of several clips."""
        tracks = np.concatenate([self.track(audio) for audio in clips])
        return float(np.median(tracks[tracks > 0]))


def pitch_error(commanded, found):
    """Median cents off, share (%) off by more than 3 semitones, share (%) of frames with other voicing."""
    frames = min(len(commanded), len(found))
    commanded, found = commanded[:frames], found[:frames]
    both = (commanded > 0) & (found > 0)
    cents = 1200 * np.abs(np.log2(found[both] / commanded[both])) if both.any() else np.array([np.nan])
    return {
        "cents": float(np.median(cents)),
        "gross": 100 * float(np.mean(cents > 300)),
        "voicing": 100 * float(np.mean((commanded > 0) != (found > 0))),
    }


def envelope(audio, hop=320):
    """Level in dB per 20 ms, half overlapped in effect by a 40 ms Hann window."""
    window = np.hanning(2 * hop)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, hop), 2 * hop)[::hop]
    return 10 * np.log10((frames**2 * window).sum(1) / window.sum() + 1e-9)


def loudness_error(source, output):
    """Mean absolute difference in dB of the level envelopes where the source speaks, overall gain taken out."""
    one, two = envelope(source), envelope(output)
    frames = min(len(one), len(two))
    difference = (two - one)[:frames][one[:frames] > np.percentile(one, 95) - 30]
    return float(np.mean(np.abs(difference - np.median(difference))))
