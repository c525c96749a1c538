"""Stage 3: phone times for the English utterances, with their text or the recognised one, by pocketsphinx.

Two forced passes per utterance. The first finds the words and so which pronunciation variant was said. The second
is a forced text whose "words" are single phones; pocketsphinx's own second-pass phone aligner fails on about a third
of this material, this on a sixth. `fillprob` below 1e-8 underflows and silently breaks the search. Utterances that fail
with the default beams are tried again with `TIGHT` ones, which saves about an eighth of them; wider beams save none.
Frames are 10 ms. `run` with `part`/`parts` lets two processes share the work.
"""

import json
import time

from pocketsphinx import Decoder

from . import lexicon, listen
from .data import AudioStore, PHONES, load_rows

TIGHT = {"beam": 1e-40, "wbeam": 7e-25, "pbeam": 1e-40}
PREFIX = "zq_"  # no dictionary word starts like this


def make_decoder(**beams):
    """Decoder with the wheel's English model and the 39 phones added as words."""
    decoder = Decoder(lm=None, cmn="batch", silprob=0.05, fillprob=1e-8, loglevel="FATAL", **beams)
    for phone in PHONES[1:]:
        decoder.add_word(PREFIX + phone.lower(), phone, phone == PHONES[-1])
    return decoder


def force(decoder, text, pcm):
    """Segments `(word, first frame, last frame)` of a forced alignment."""
    decoder.set_align_text(text)
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    return [(s.word, s.start_frame, s.end_frame) for s in decoder.seg()]


def add_unknown(decoder, words):
    """Give each word missing from the dictionary a pronunciation; False when one has none."""
    for word in words:
        if decoder.lookup_word(word) is None:
            phones = lexicon.guess(word)
            if phones is None:
                return False
            decoder.add_word(word, phones, True)
    return True


def align(decoder, text, pcm):
    """Phones `(phone, first frame, last frame)` with SIL between; raises `RuntimeError` naming the failed step."""
    words = lexicon.words(text, lambda word: decoder.lookup_word(word) is not None)
    if not words or not add_unknown(decoder, words):
        raise RuntimeError("lexicon")
    try:
        said = [w for w, _, _ in force(decoder, " ".join(words), pcm) if w[0] not in "<[("]
    except Exception as error:
        raise RuntimeError("words") from error
    if len(said) < len(words):
        raise RuntimeError("words")
    phones = [phone for word in said for phone in decoder.lookup_word(word).split()]
    try:
        segments = force(decoder, " ".join(PREFIX + phone.lower() for phone in phones), pcm)
    except Exception as error:
        raise RuntimeError("phones") from error
    named = [(w[len(PREFIX) :].upper() if w.startswith(PREFIX) else "SIL", a, b) for w, a, b in segments]
    if sum(name != "SIL" for name, _, _ in named) < len(phones):
        raise RuntimeError("phones")
    return named


def attempt(decoders, text, pcm):
    """Alignment by the first of `decoders` that manages, and "ok" or the last failure."""
    for slot, (decoder, beams) in enumerate(decoders):
        try:
            return align(decoder, text, pcm), "ok"
        except RuntimeError as error:
            outcome = str(error)
            decoders[slot] = make_decoder(**beams), beams  # a failed utterance leaves the decoder unusable
    return None, outcome


def run(speech, work, part=0, parts=1):
    """Append one JSON line per utterance to `align.PART.jsonl`; utterances that any part has are skipped."""
    heard = listen.load_texts(work)
    rows = [{**r, "text": r["text"] or heard.get(r["row"])} for r in load_rows(speech) if r["lang"].startswith("en")]
    rows = [r for r in rows if r["text"]]
    store, path = AudioStore(work), work / f"align.{part}.jsonl"
    done = {json.loads(line)["row"] for file in work.glob("align.*.jsonl") for line in open(file)}
    decoders = [(make_decoder(**beams), beams) for beams in ({}, TIGHT)]
    counts, started = {}, time.time()
    with open(path, "a", encoding="utf-8") as out:
        for number, row in enumerate(r for r in rows if r["row"] in store):
            if number % parts != part or row["row"] in done:
                continue
            phones, outcome = attempt(decoders, row["text"], store.pcm(row["row"]).tobytes())
            counts[outcome] = counts.get(outcome, 0) + 1
            out.write(json.dumps({"row": row["row"], "phones": phones}) + "\n")
            if sum(counts.values()) % 200 == 0:
                out.flush()
                print(f"align {part}: {counts} {time.time() - started:.0f} s", flush=True)
    print(f"align {part}: finished, {counts} {time.time() - started:.0f} s")


def load(work):
    """Row number to phone segments, for every aligned utterance of all parts."""
    found = {}
    for path in sorted(work.glob("align.*.jsonl")):
        for line in open(path, encoding="utf-8"):
            entry = json.loads(line)
            if entry["phones"]:
                found[entry["row"]] = entry["phones"]
    return found
