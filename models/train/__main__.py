"""Command line of the recipe: one command per stage, each resumable. Run in `models/`, see NOTEBOOK.md there."""

import argparse
from pathlib import Path

from .data import REPO, speech_dir, work_dir


def parse():
    parser = argparse.ArgumentParser(prog="train", description=__doc__)
    parser.add_argument("--data", help="speech set; default COFFRE_SPEECH or ../shared/speech")
    parser.add_argument("--work", help="folder for intermediate files; default COFFRE_WORK or target/train")
    stages = parser.add_subparsers(dest="stage", required=True)
    stages.add_parser("prepare", help="decode the audio")
    stages.add_parser("listen", help="features of a recogniser, and text where none is given")
    align = stages.add_parser("align", help="phone times by forced alignment")
    align.add_argument("--part", type=int, default=0)
    align.add_argument("--parts", type=int, default=1)
    guided = stages.add_parser("guide", help="train the network that labels every frame")
    guided.add_argument("--minutes", type=float, default=12)
    teach = stages.add_parser("teach", help="label every frame by the encoder that ships, in place of the guide")
    teach.add_argument("--share", type=int, default=1, help="every which recording")
    envelopes = stages.add_parser("envelopes", help="what song is made of: envelopes of the recordings")
    envelopes.add_argument("--share", type=int, default=1, help="every which recording")
    encoder = stages.add_parser("encoder", help="train a content network")
    encoder.add_argument("--name", default="live", help="name of the checkpoint; `mix` uses a long look-ahead")
    encoder.add_argument("--minutes", type=float, default=45)
    encoder.add_argument("--start", help="checkpoint to start from, or `shipped` for the graph that is there")
    encoder.add_argument("--labels", default="guide", choices=["guide", "teacher"], help="who labelled the frames")
    encoder.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    blend = stages.add_parser("encoder-blend", help="a checkpoint between another and the graph that is there")
    blend.add_argument("--name", required=True, help="name of the checkpoint")
    blend.add_argument("--of", required=True, help="name of the other")
    blend.add_argument("--share", type=float, default=0.5, help="share of the other's weights")
    sure = stages.add_parser("sure", help="how sure the encoders are of their phones in speech and in song, and how right")
    sure.add_argument("names", nargs="+", help="checkpoints; `shipped-live` and `shipped-mix` for the graphs that are there")
    sure.add_argument("--smooth", action="store_true", help="show them envelopes without harmonics, as an ablation")
    sure.add_argument("--only", default="", help="conditions that begin like this")
    key = stages.add_parser("key", help="fit and compare the key projections")
    key.add_argument("--name", default="live")
    key.add_argument("--leader", help="checkpoint whose keys are followed instead of fitting own ones")
    export = stages.add_parser("export", help="write the graph for the plugin and its parity file")
    export.add_argument("--name", default="live")
    export.add_argument("--out", type=Path, default=REPO, help="folder that gets `models` and `tests/data`; default this repository")
    check = stages.add_parser("check", help="measure accuracy, streaming equality and cost of the exported model")
    check.add_argument("--name", default="live")
    check.add_argument("--out", type=Path, default=REPO, help="where `export` wrote it")
    pairs = stages.add_parser("refine-pairs", help="convert recordings to other voices and back")
    pairs.add_argument("--coffre", required=True, help="the `coffre` program")
    pairs.add_argument("--part", type=int, default=0)
    pairs.add_argument("--parts", type=int, default=1)
    pairs.add_argument("--times", type=int, default=1, help="how often each recording, through another voice each time")
    refine = stages.add_parser("refine", help="train the refiner")
    refine.add_argument("--name", default="refine", help="name of the checkpoint")
    refine.add_argument("--minutes", type=float, default=45)
    refine.add_argument("--start", help="checkpoint to start from, or `shipped` for the graph that is there")
    refine.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    refine.add_argument("--content", type=float, default=0.0, help="weight of the phone loss; 0 for none")
    refine.add_argument("--virtual", type=float, default=0.6, help="share of virtual voices; 0 specialises on the voices of the pairs")
    speaker = stages.add_parser("speaker", help="train a speaker network, for refine-cross")
    speaker.add_argument("--name", default="speaker-1", help="name of the checkpoint, `speaker-` and anything")
    speaker.add_argument("--minutes", type=float, default=13)
    speaker.add_argument("--seed", type=int, default=1, help="another number, another network")
    cross = stages.add_parser("refine-cross", help="train the refiner on conversions of other speakers")
    cross.add_argument("--coffre", required=True, help="the `coffre` program")
    cross.add_argument("--name", required=True, help="name of the checkpoint")
    cross.add_argument("--start", required=True, help="checkpoint to start from")
    cross.add_argument("--minutes", type=float, default=38)
    cross.add_argument("--rate", type=float, default=4e-4, help="highest learning rate")
    cross.add_argument("--opinion", type=float, default=0.3, help="weight of the discriminator")
    cross.add_argument("--quiet", type=float, default=20.0, help="weight of gains in quiet frames; 0 for none")
    cross.add_argument("--alike", type=float, default=2.0, help="weight of the speaker networks; 0 for none")
    cross.add_argument("--floor", type=float, default=1e-3, help="power below which the discriminator sees nothing")
    cross.add_argument("--any", action="store_true", help="the refiner of all voices but the embedded ones, on clones")
    mean = stages.add_parser("refine-mean", help="a checkpoint whose weights are the mean of others'")
    mean.add_argument("--name", required=True, help="name of the checkpoint")
    mean.add_argument("--of", required=True, nargs="+", help="names of the others")
    refine_export = stages.add_parser("refine-export", help="write the refiner's graph and its parity file")
    refine_export.add_argument("--name", help="checkpoint; default: only renew the voice ids in the existing graph")
    refine_export.add_argument("--any", action="store_true", help="the graph for all voices but the embedded ones")
    correct = stages.add_parser("correct", help="train the corrector of live mode on the refiner's answers")
    correct.add_argument("--coffre", required=True, help="the `coffre` program")
    correct.add_argument("--frames", required=True, help="the `correct-frames` program")
    correct.add_argument("--minutes", type=float, default=20)
    stages.add_parser("correct-export", help="write the corrector's graph")
    pitch = stages.add_parser("f0", help="train the judge of pitch candidates, or measure the pitch tracker")
    pitch.add_argument("--frames", required=True, help="the `f0-frames` program")
    pitch.add_argument("--epochs", type=int, default=12)
    pitch.add_argument("--measure", action="store_true", help="only measure, on speakers and notes that are held out")
    stages.add_parser("portraits", help="draw the pictures of the embedded voices")
    return parser.parse_args()


def main():
    args = parse()
    speech, work = speech_dir(args.data), work_dir(args.work)
    if args.stage == "prepare":
        from . import prepare

        prepare.run(speech, work)
    elif args.stage == "listen":
        from . import listen

        listen.features(speech, work)
        listen.texts(speech, work)
    elif args.stage == "guide":
        from . import guide

        guide.run(speech, work, args.minutes)
    elif args.stage == "align":
        from . import align

        align.run(speech, work, args.part, args.parts)
    elif args.stage == "teach":
        from . import teacher

        teacher.run(speech, work, args.share)
    elif args.stage == "envelopes":
        from . import song

        song.envelopes(speech, work, args.share)
    elif args.stage == "encoder-blend":
        from . import encoder

        encoder.blend(work, args.name, args.of, args.share)
    elif args.stage == "sure":
        from . import sure

        sure.run(speech, work, args.names, args.smooth, args.only)
    elif args.stage == "encoder":
        from . import encoder

        encoder.run(speech, work, args.name, args.minutes, args.start, args.rate, args.labels)
    elif args.stage == "key":
        from . import keys

        if args.leader:
            keys.run_following(speech, work, args.name, args.leader)
        else:
            keys.run(speech, work, args.name)
    elif args.stage == "export":
        from . import export

        export.run(speech, work, args.name, args.out)
    elif args.stage == "check":
        from . import check

        check.run(speech, work, args.name, args.out)
    elif args.stage == "refine-pairs":
        from . import refine_pairs

        refine_pairs.run(speech, work, args.coffre, args.part, args.parts, args.times)
    elif args.stage == "refine":
        from . import refine

        refine.run(speech, work, args.name, args.minutes, args.start, args.rate, args.content, args.virtual)
    elif args.stage == "speaker":
        from . import speaker

        speaker.run(speech, work, args.name, args.minutes, args.seed)
    elif args.stage == "refine-cross":
        from . import refine_cross

        weights = (args.opinion, args.quiet, args.alike)
        settings = (args.rate, weights, args.floor, args.any)
        refine_cross.run(speech, work, args.coffre, args.name, args.start, args.minutes, *settings)
    elif args.stage == "refine-mean":
        from . import refine_cross

        refine_cross.write_mean(work, args.name, args.of)
    elif args.stage == "refine-export":
        from . import refine_export

        refine_export.run(work, args.name, REPO, args.any)
    elif args.stage == "correct":
        from . import correct

        correct.run(speech, work, args.coffre, args.frames, args.minutes)
    elif args.stage == "correct-export":
        from . import correct

        correct.export(work, REPO)
    elif args.stage == "f0":
        from . import f0

        f0.run(speech, work, args.frames, args.epochs, args.measure)
    elif args.stage == "portraits":
        from . import portraits

        portraits.run(work / "portraits")


if __name__ == "__main__":
    main()
