"""`convsmith predict RUN IMAGE...`."""

import sys
from collections.abc import Sequence
from dataclasses import replace

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import Parser, add_edit, add_output, add_short, add_views, megapixels, print_json, say
from convsmith.cli.output import print_csv, show
from convsmith.data.views import read_views
from convsmith.engines.names import AUTO, ENGINES, check_engine
from convsmith.report.text import percent
from convsmith.training.options import EngineOptions


def _parser() -> Parser:
    parser = Parser("predict", "The most probable classes of images. Exit status 1 if one could not be read.")
    parser.add_argument("run", help="a run's directory, or a bundle")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, folders (searched through) or patterns")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="classes for each image (5)")
    help = "several labels an image: the least probability of those that are said (0.5)"
    parser.add_argument("--threshold", type=float, metavar="P", help=help)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    help = f"what computes: auto (few pictures: the network as it is), {', '.join(ENGINES)} (docs/speed.md)"
    parser.add_argument("--engine", default=AUTO, metavar="NAME", help=help)
    help = "auto (bf16 where the machine has it and predictions stay), fp32 or bf16"
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"), help=help)
    add_short(parser, "max_megapixels")
    add_views(parser)
    add_edit(parser)
    parser.add_argument("--csv", action="store_true", help="print CSV, a row for each file and class")
    parser.add_argument("--quiet", action="store_true", help="no notes")
    add_output(parser)
    return parser


def run(words: Sequence[str]) -> int:
    """Print the most probable classes of images."""
    values = _parser().read(words)
    if values.top < 1:
        raise UsageError(f"predict: --top must be at least 1, received {values.top}")
    if values.csv and values.json:
        raise UsageError("predict: choose one of --csv and --json")
    if values.engine != AUTO:
        check_engine(values.engine)
    views, allowed = read_views(values.views), megapixels(values.max_megapixels)
    most = None if allowed is None else allowed * 1_000_000
    # From here on torch is needed.
    from convsmith.deploy import predict as predicting
    from convsmith.runs.subject import open_subject
    from convsmith.training import engine as engines
    from convsmith.work.evaluate import own_split

    speak = (lambda text: None) if values.quiet else say
    files = [file for name in values.images for file in _files(name, predicting, speak)]
    subject = open_subject(values.run, edits=values.edit)
    for warning in () if values.quiet else subject.warnings:
        say(f"warning: {warning}")
    if subject.temperature != 1 and not values.quiet:
        say(f"probabilities are calibrated: the outputs are divided by {subject.temperature:.4g}")
    engine = engines.resolve(EngineOptions(device=values.device, precision=values.precision))
    with engines.using(engine):
        runner = predicting.choose_runner(
            values.engine, subject, files, engine, views,
            validation=lambda: own_split(subject, "val")[1],
            say=speak, most=most,
        )  # fmt: skip
        predictions = predicting.predict(subject, files, engine, values.top, views, values.threshold, runner, most)
        # An image from a pipe is called `-`.
        predictions = (
            replace(p, file="-") if isinstance(file, bytes) else p for p, file in zip(predictions, files, strict=True)
        )
        if values.json:
            found = list(predictions)
            print_json([p.to_json() for p in found])
        elif values.csv:
            found = _print_csv(predictions)
        else:
            found = [_print_line(p) for p in predictions]
    return 1 if any(p.error for p in found) else 0


def _files(name, predicting, speak):
    """The images that a word names; `-` is the image on standard input."""
    if name != "-":
        return predicting.expand([name], speak)
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(
            "predict: - reads an image from a pipe, and there is none: convsmith predict RUN - < photo.jpg"
        )
    return [sys.stdin.buffer.read()]


def _print_csv(predictions):
    print_csv([("file", "rank", "label", "probability", "error")])
    printed = []
    for p in predictions:
        guesses = p.top if p.labels is None else p.labels
        rows = [(rank, g.label, f"{g.probability:.6f}", "") for rank, g in enumerate(guesses, 1)]
        print_csv((p.file, *row) for row in rows or [("", "", "", p.error or "")])
        printed.append(p)
    return printed


def _print_line(p):
    if p.error:
        say(f"convsmith: {p.error}")
    else:
        guesses, nearest = p.top if p.labels is None else p.labels, p.top[0]
        none = f"none of the classes (nearest: {nearest.label} {percent(nearest.probability)})"
        show(f"{p.file}: {', '.join(f'{g.label} {percent(g.probability)}' for g in guesses) or none}", flush=True)
    return p
