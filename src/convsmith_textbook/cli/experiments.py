"""`convsmith reproduce EXPERIMENT`: trains the members of an experiment and compares their results."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import Parser, add_output, add_short, say
from convsmith.cli.fields import edited, recipe_words
from convsmith.cli.series import print_expected, print_series
from convsmith.data.sources.names import SETS
from convsmith.recipes.shorthand import SHORTHAND
from convsmith.series.drawing import series_of
from convsmith.series.experiment import Measurement, chosen, default_folder
from convsmith.series.folder import check_folder, experiment_name
from convsmith.series.results import columns, group_rows
from convsmith_textbook.cli import measurements
from convsmith_textbook.questions.entries import EXPERIMENTS

EXAMPLES = """the same command goes on where it was stopped; every field of a recipe is an option, for all members:
  convsmith reproduce degradation --dry-run
  convsmith reproduce degradation --data PATH/TO/cifar10 --epochs 20
  convsmith reproduce regularization --quick
"""
TOPIC = "experiments, which train; never part of a pattern or of all"


def run(words: Sequence[str]) -> int:
    """Train an experiment's members, or print the expected cost."""
    rest, fields = recipe_words(words)
    values = _parser().read(rest)
    name = values.experiment[0]
    if len(values.experiment) > 1:
        raise UsageError(
            f"reproduce: experiments train, so one is named alone, received {', '.join(values.experiment)}"
        )
    experiment = EXPERIMENTS[name]
    if isinstance(experiment, Measurement):
        return measurements.run(name, experiment, values, fields)
    if values.quick:
        # A quick run works on any data, also on fewer images than the experiment uses.
        fields = [("data.images", "none"), *fields]
    if values.data and values.data not in SETS and Path(values.data).exists():
        # An absolute path, so that the command can be repeated from another folder.
        values.data = str(Path(values.data).resolve())
    cuts = [cut.strip() for cut in (values.cuts or "").split(",") if cut.strip()]
    if cuts and experiment.suit is None:
        raise UsageError(f"reproduce: --cuts is for an experiment that cuts networks, and {name} does not")
    members = chosen(experiment, lambda recipe: edited(recipe, values, fields), cuts)
    seeds = values.seeds if values.seeds is not None else 1 if values.quick else experiment.seeds
    if seeds < 1:
        raise UsageError(f"reproduce: --seeds must be at least 1, received {seeds}")
    folder = Path(values.out) if values.out else default_folder(name, bool(values.quick))
    check_folder(folder, experiment_name(name), members)
    # From here on torch is needed.
    from convsmith.series.running import expectations, train_series

    series = series_of(name, experiment, members, seeds)
    if values.dry_run:
        return print_expected(expectations(series.members, folder), values.json)
    tell = (lambda text: None) if values.quiet else say
    for line in (f"{name}: {experiment.title}", experiment.question, f"after {experiment.source}"):
        tell(line)
    done = train_series(series, folder, quiet=values.quiet, say=tell, allow_other_machine=values.allow_other_machine)
    rows = group_rows(done.summary, columns(done.summary["runs"], errors=True))
    return print_series(done.folder, done.summary, values.json, rows, done.summary.get("checks", ()))


def heads() -> list[dict[str, Any]]:
    """The entries of the list of experiments, as JSON data."""
    return [
        {"entry": name, "topic": TOPIC, "title": e.title, "question": e.question, "source": e.source}
        for name, e in EXPERIMENTS.items()
    ]


def _parser() -> Parser:
    parser = Parser("reproduce", "Train the members of an experiment; table, picture and report of the results.")
    parser.epilog = EXAMPLES
    parser.add_argument("experiment", nargs="+", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    add_short(parser, *SHORTHAND)
    parser.add_argument("--out", metavar="DIR", help="the folder of its runs; none: runs/experiment-NAME")
    help = "runs of each member, with seeds one after another; none: the experiment's own number, quick: 1"
    parser.add_argument("--seeds", type=int, metavar="N", help=help)
    help = "transferability: after which layers, as names or numbers: 1,3; none: after each"
    parser.add_argument("--cuts", metavar="LIST", help=help)
    parser.add_argument("--allow-other-machine", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_output(parser)
    return parser
