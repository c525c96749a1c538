"""Phone errors without a vocabulary: what a phone recogniser hears in the output against what it hears in the source.

The recogniser is the one of the package `hama` (Apache-2.0): connectionist classification, 191 symbols, one answer every
20 ms. English comes out nearly right, other languages as English, which is enough where both sides are heard the same way.
The licence of what it was trained on is not stated, so it is a judge only.
"""

from hama.asr import ASRModel

from . import measure


class Phones:
    """Loaded once. Audio at 16 kHz."""

    def __init__(self):
        self.model = ASRModel()

    def heard(self, audio):
        """The phones in order."""
        return self.model.transcribe_waveform(audio, measure.RATE).phonemes

    def errors(self, source, audio):
        """`(errors, phones)` against what was `heard` in the source."""
        return measure.edit_distance(source, self.heard(audio)), len(source)
