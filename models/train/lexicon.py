"""Words to ARPABET: pocketsphinx's own dictionary, and espeak-ng for words it does not have.

The table maps espeak's IPA (voice en-us) to the 39 phones of the CMU dictionary, longest symbol first. Vowel
reductions follow CMU usage: schwa is AH, a rhotic schwa is ER.
"""

import re
import subprocess
from functools import lru_cache

IPA = {
    "tʃ": "CH", "dʒ": "JH", "aɪɚ": "AY ER", "aɪə": "AY AH", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "ɔɪ": "OY",
    "ɑːɹ": "AA R", "ɔːɹ": "AO R", "oːɹ": "AO R", "ɛɹ": "EH R", "ɪɹ": "IH R", "ʊɹ": "UH R", "ɜː": "ER", "əl": "AH L",
    "iː": "IY", "uː": "UW", "ɑː": "AA", "ɔː": "AO", "oː": "AO", "iə": "IY AH", "əʊ": "OW",
    "ɚ": "ER", "ɝ": "ER", "ə": "AH", "ɐ": "AH", "ʌ": "AH", "æ": "AE", "ɛ": "EH", "ɪ": "IH", "ᵻ": "IH", "i": "IY",
    "ʊ": "UH", "u": "UW", "ɑ": "AA", "ɔ": "AO", "a": "AE", "e": "EH", "o": "OW",
    "b": "B", "d": "D", "ð": "DH", "f": "F", "ɡ": "G", "g": "G", "h": "HH", "k": "K", "l": "L", "m": "M", "n": "N",
    "ŋ": "NG", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T", "ɾ": "T", "ʔ": "T", "θ": "TH", "v": "V",
    "w": "W", "j": "Y", "z": "Z", "ʒ": "ZH", "x": "K",
}  # fmt: skip
_SYMBOL = re.compile("|".join(sorted(IPA, key=len, reverse=True)))


def arpabet(ipa):
    """ARPABET string for one IPA word; `None` when a symbol is unknown."""
    ipa = re.sub(r"[ˈˌ\s̩̃]", "", ipa)
    phones, end = [], 0
    for match in _SYMBOL.finditer(ipa):
        if match.start() != end:
            return None
        phones.append(IPA[match.group()])
        end = match.end()
    return " ".join(phones) if phones and end == len(ipa) else None


@lru_cache(maxsize=None)
def guess(word):
    """Pronunciation by espeak-ng, or `None`."""
    command = ["espeak-ng", "-q", "--ipa", "-v", "en-us", word]
    try:
        ipa = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return arpabet(ipa.strip().replace("\n", " "))


def words(text, known):
    """Lower-case words of a transcript; `known(word)` tells whether outer apostrophes belong to the word."""
    text = re.sub(r"[^a-z' -]", " ", text.lower().replace("’", "'")).replace("-", " ")
    found = (word if known(word) else word.strip("'") for word in text.split())
    return [word for word in found if word]
