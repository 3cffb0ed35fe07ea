"""`convsmith bench NET|RUN`."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from convsmith.base.errors import UsageError, unknown
from convsmith.cli.arguments import Parser, add_output, print_json, say
from convsmith.cli.networks import size_option
from convsmith.cli.output import show_text
from convsmith.data.fit import size_word
from convsmith.engines.names import ENGINES, check_engine, read_engines
from convsmith.nets.model import tree_of
from convsmith.nets.source import open_network
from convsmith.nets.zoo import NETWORKS, edit
from convsmith.report.text import duration, many, size, table
from convsmith.runs.directory import is_run
from convsmith.training.options import EngineOptions

# The number of images on which engines are compared for a network without weights, and of turns of each engine.
SEEDED, ROUNDS = 16, 7


def run(words: Sequence[str]) -> int:
    """Time the engines that run a network, or those that train it, on this machine."""
    values = _parser().read(words)
    _check(values)
    return _training(values) if values.train else _inference(values)


def _parser() -> Parser:
    parser = Parser("bench", "How fast this machine runs a network: its engines in turns, each compared first.")
    parser.add_argument("subject", metavar="NETWORK|RUN", help="a network (its weights drawn) or a run's directory")
    parser.add_argument("--batch", type=int, metavar="N", help="images at a time (16; --train: the recipe's)")
    help = "a network's images: the side of a square, or height x width as in 32x128; none: its own"
    parser.add_argument("--size", type=size_option, metavar="N|HxW", help=help)
    help = f"some of {','.join(ENGINES)}; none: all that are installed"
    parser.add_argument("--engines", metavar="A,B", help=help)
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each engine (7)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"), help="of those that have it")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads; none: as many as cores")
    parser.add_argument("--train", action="store_true", help="a training step's layouts, precisions and compilation")
    help = "--train: images whose recipe is timed (digits, or the run's own)"
    parser.add_argument("--data", metavar="NAME|PATH", help=help)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_output(parser)
    return parser


def _check(values: argparse.Namespace) -> None:
    """Raise UsageError for impossible options, before torch is loaded."""
    for name in ("batch", "rounds"):
        number = getattr(values, name)
        if number is not None and number < 1:
            raise UsageError(f"bench: --{name} must be at least 1, received {number}")
    if values.data is not None and not values.train:
        raise UsageError("bench: --data is for --train; engines that only run a network are timed on its own images")
    if values.train and values.engines is not None:
        raise UsageError("bench: --engines are those that run a network; --train tries its own")
    if values.train and values.rounds is not None:
        raise UsageError("bench: --rounds are turns of engines that run a network; --train takes its own few steps")
    values.engines = read_engines(values.engines) if values.engines is not None else None
    for name in values.engines or ():
        check_engine(name)
    if is_run(values.subject) and values.size is not None:
        raise UsageError("bench: --size is for a network; a run's images have their size")
    if not is_run(values.subject) and values.subject.isidentifier() and values.subject not in NETWORKS:
        raise unknown("network", values.subject, NETWORKS)


def _inference(values: argparse.Namespace) -> int:
    from convsmith.engines import bench as benching
    from convsmith.engines.names import available
    from convsmith.training import engine as engines

    speak = _speaker(values)
    options = EngineOptions(device=values.device, precision=values.precision, threads=values.threads)
    engine = engines.resolve(options)
    batch = values.batch or SEEDED
    names = values.engines or available(engine.device)
    with engines.using(engine):
        model, images = _run_and_images(values.subject) if is_run(values.subject) else _network_and_images(values)
        found = benching.bench(model, engine, batch, images, names, values.rounds or ROUNDS, speak)
    if values.json:
        print_json(found.to_json() | {"device": engine.device, "cpu": engine.cpu, "threads": engine.threads})
    else:
        shape = "x".join(map(str, model.shape))
        where = f"{engine.cpu}, {many(engine.threads, 'thread')}" if engine.device == "cpu" else engine.device
        show_text(
            f"{model.network.name}, {many(batch, 'image')} of {shape} at a time, {where}; "
            f"median of {found.rounds} rounds\n"
        )
        show_text(_table(found.rows))
    return 130 if found.interrupted else 0


def _run_and_images(path: str) -> tuple[Any, Any]:
    """A run's network with its validation images."""
    from convsmith.deploy import predict as predicting
    from convsmith.runs.subject import open_subject
    from convsmith.work.evaluate import own_split

    subject = open_subject(path)
    _, examples = own_split(subject, "val")
    return predicting.inference_of(subject), predicting.real_images(examples, subject.preprocess, predicting.CHECKED)


def _network_and_images(values: argparse.Namespace) -> tuple[Any, Any]:
    """A network and images, both random with a fixed seed."""
    so = "its engines are compared with trained weights; train it (--quick will do) and give the run"
    network = tree_of(open_network(values.subject), so)
    if values.size is not None:
        network = edit(network, "size({},{})".format(*values.size))
    import torch

    from convsmith.engines import inference

    images = torch.randn(SEEDED, *network.input, generator=torch.Generator().manual_seed(0))
    return inference.untrained(network, images), images


def _table(rows: Sequence[Any]) -> str:
    """A row for each engine, with the reason if it cannot be used."""
    cells = []
    for row in rows:
        if row.images_per_second is None:
            cells.append((row.engine, "-", "-", "-", "-", "-", "-", "-", row.why))
            continue
        cells.append(
            (
                row.engine,
                row.precision,
                f"{row.images_per_second:,.1f}",
                f"{row.slowest:,.1f}-{row.fastest:,.1f}",
                f"{row.times:.2f}",
                f"{row.start_seconds:.1f} s",
                "-" if row.difference is None else f"{row.difference:.0e}",
                "-" if row.memory is None else size(row.memory),
                f"refused: {row.why}" if row.why else "",
            )
        )
    header = ("engine", "precision", "images/s", "rounds", "times", "start", "difference", "memory", "")
    return table(header, cells, align="<<>>>>>><")


def _training(values: argparse.Namespace) -> int:
    speak = _speaker(values)
    from convsmith.recipes.choose import choose
    from convsmith.work import autotune
    from convsmith.work import prepare as preparing

    recipe = choose(values.subject, values.data)
    given = {"batch": values.batch, "data__size": values.size and size_word(values.size)}
    recipe = recipe.edit(**{name: value for name, value in given.items() if value is not None})
    options = replace(recipe.engine, device=values.device, threads=values.threads or recipe.engine.threads)
    if values.precision != "auto":
        options = replace(options, precision=values.precision)
    plan = preparing.prepare(replace(recipe, engine=options))
    tuning = autotune.tune(plan, speak, fresh=True)
    if values.json:
        print_json({"engine": vars(tuning.engine), "trials": [trial.to_json() for trial in tuning.trials]})
        return 0
    show_text(f"training {recipe.network}, batch {plan.recipe.batch}, {plan.engine.cpu}\n")
    rows = [
        (
            autotune.describe(trial.engine),
            "-" if trial.images_per_second is None else f"{trial.images_per_second:,.1f}",
            "-" if trial.start_seconds is None else duration(trial.start_seconds),
            "-" if trial.loss_gap is None else f"{trial.loss_gap:.2%}",
            "taken" if trial.engine == tuning.engine else trial.why or "slower than a later one",
        )
        for trial in tuning.trials
    ]
    show_text(table(("engine", "images/s", "start", "loss off", ""), rows, align="<>>><"))
    return 0


def _speaker(values: argparse.Namespace) -> Callable[[str], None]:
    return (lambda text: None) if values.quiet else say
