"""`convsmith eval RUN [RUN ...]`."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.result import Reliability, Result
from convsmith.cli.arguments import Parser, add_edit, add_output, add_short, add_views, megapixels, print_json, say
from convsmith.cli.output import show, show_text
from convsmith.cli.pictures import check_folders, picture_file, write_picture
from convsmith.data.views import price, read_views, views_text
from convsmith.report.results import number_lines, results_table
from convsmith.report.text import clean, count, many, percent, table
from convsmith.runs.directory import open_run
from convsmith.training.options import EngineOptions

ENSEMBLE = "ensemble"


def run(words: Sequence[str]) -> int:
    """Evaluate runs exactly: each image once, in fp32."""
    values = _parser().read(words)
    _check(values)
    if values.calibrate:
        return _calibrate(values)
    from convsmith.work import evaluate as evaluating

    evaluated = [_evaluate(evaluating, path, values) for path in values.runs]
    rows = [(path, e.result) for path, e in zip(values.runs, evaluated, strict=True)]
    if values.ensemble:
        rows.append((ENSEMBLE, evaluating.ensemble(evaluated, values.bins)))
    if values.plot:
        from convsmith.report.reliability import reliability_svg

        diagrams = [_reliability(name, result) for name, result in rows]
        write_picture(values.plot, lambda: reliability_svg(diagrams))
    if values.json:
        print_json(_as_json(evaluated, rows, values))
    elif len(rows) > 1:
        show_text(f"{_where(evaluated)}\n")
        show_text(results_table(rows))
    else:
        _print_one(values.runs[0], evaluated[0])
    return 0


def _parser() -> Parser:
    parser = Parser("eval", "Accuracy, averages over classes, calibration: each image counted once, in fp32.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's directory; several: a row each")
    parser.add_argument("--split", choices=("train", "val", "test"), help="which images; none: test, else val")
    parser.add_argument("--data", metavar="NAME|PATH", help="other images than the run's own")
    parser.add_argument("--checkpoint", choices=("selected", "last", "best"), default="selected", help="which weights")
    add_short(parser, "max_megapixels")
    add_views(parser)
    parser.add_argument("--ensemble", action="store_true", help="the mean of the runs' probabilities as well")
    parser.add_argument("--calibrate", action="store_true", help="fit a temperature on val, and keep it in the run")
    parser.add_argument("--bins", type=int, default=15, metavar="N", help="stretches of confidence for the ECE (15)")
    help = "reliability diagram: accuracy over confidence"
    parser.add_argument("--plot", type=picture_file, metavar="FILE.svg", help=help)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add_edit(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")
    add_output(parser)
    return parser


def _check(values: argparse.Namespace) -> None:
    """Raise UsageError for options that exclude each other, before torch is loaded."""
    check_folders([values.plot])
    for path in values.runs:
        open_run(path)
    if values.bins < 1:
        raise UsageError(f"eval: --bins must be at least 1, received {values.bins}")
    if values.ensemble and len(values.runs) < 2:
        raise UsageError("eval: --ensemble needs two runs or more")
    values.views, values.max_megapixels = read_views(values.views), megapixels(values.max_megapixels)
    if values.max_megapixels is not None and values.data is None:
        raise UsageError("eval: --max-megapixels is for --data; the run's own images are read as the run read them")
    twice = next((path for n, path in enumerate(values.runs) if path in values.runs[:n]), None)
    if twice is not None:
        raise UsageError(f"eval: {twice} is named twice")
    if values.calibrate:
        if len(values.runs) > 1:
            raise UsageError("eval: --calibrate takes one run")
        given = [f"--{n}" for n in ("split", "data", "views", "ensemble", "edit", "plot") if getattr(values, n)]
        if given or values.checkpoint != "selected":
            raise UsageError(
                f"eval: {(given or ['--checkpoint'])[0]} cannot be given with --calibrate, which fits the run's own "
                "weights to its own validation images"
            )


def _evaluate(evaluating: Any, path: str, values: argparse.Namespace) -> Any:
    evaluated = evaluating.evaluate_run(
        path,
        split=values.split,
        source=values.data,
        max_megapixels=values.max_megapixels,
        checkpoint=values.checkpoint,
        edits=values.edit,
        views=values.views,
        bins=values.bins,
        engine=EngineOptions(device=values.device),
    )
    for warning in () if values.quiet else evaluated.subject.warnings:
        say(f"warning: {warning}")
    return evaluated


def _where(evaluated: Sequence[Any]) -> str:
    """The lines on the images that the rows of a table were evaluated on: one line if they are the same for all."""
    places = list(dict.fromkeys((e.split, len(e.examples)) for e in evaluated))
    seen = list(dict.fromkeys(_views(e) for e in evaluated if e.views))
    through = "".join(f"\nviews {text}" for text in seen)
    if len(places) == 1:
        return f"on {places[0][0]}: {many(places[0][1], 'image')} each{through}"
    lines = (f"{clean(str(e.subject.run.path))} on {e.split}: {many(len(e.examples), 'image')}" for e in evaluated)
    return "\n".join(lines) + through


def _views(evaluated: Any) -> str:
    """The line on the views and their cost."""
    cost = price(evaluated.views, evaluated.subject.preprocess)
    return (
        f"{views_text(evaluated.views)}: {count(cost.views)} of each image, {cost.pixels:g} times the pixels; "
        "the mean of their probabilities"
    )


def _print_one(name: str, evaluated: Any) -> None:
    subject = evaluated.subject
    calibrated = f", temperature {subject.temperature:.3g}" if subject.temperature != 1 else ""
    images = many(len(evaluated.examples), "image")
    show(f"{name} on {evaluated.split}: {images}, weights of step {subject.step}{calibrated}")
    if evaluated.views:
        show(f"views     {_views(evaluated)}")
    for line in number_lines(evaluated.result):
        show(line)


def _as_json(evaluated: Sequence[Any], rows: Sequence[tuple[str, Any]], values: argparse.Namespace) -> Any:
    """An object for one run, a list for several; with `--ensemble` its numbers and its `members`."""
    members = [
        result.to_json(detailed=True)
        | {"split": e.split, "step": e.subject.step, "temperature": e.subject.temperature}
        | _views_json(e)
        for e, (_, result) in zip(evaluated, rows, strict=False)
    ]
    if len(rows) == 1:
        return members[0]
    members = [{"run": name} | member for (name, _), member in zip(rows, members, strict=False)]
    return {"members": members, ENSEMBLE: rows[-1][1].to_json(detailed=True)} if values.ensemble else members


def _views_json(evaluated: Any) -> dict[str, Any]:
    if not evaluated.views:
        return {}
    cost = price(evaluated.views, evaluated.subject.preprocess)
    return {"views": views_text(evaluated.views), "views_of_an_image": cost.views, "pixels": cost.pixels}


def _reliability(name: str, result: Result) -> Reliability:
    """The result's reliability diagram with the name of its run."""
    diagram = next((plot for plot in result.plots if type(plot) is Reliability), None)
    if diagram is None:
        raise UsageError(
            f"{name}: a reliability diagram is for one label for each image; the numbers of this run are "
            f"{', '.join(number.title for number in result.numbers)}"
        )
    return replace(diagram, name=Path(name).name)


def _calibrate(values: argparse.Namespace) -> int:
    (path,) = values.runs
    from convsmith.work.evaluate import calibrate_run

    record = calibrate_run(path, EngineOptions(device=values.device))
    if values.json:
        print_json({"run": path, **record})
        return 0
    show(f"{path}: outputs divided by {record['temperature']:.4g}, fitted on val; kept in {path}/calibration.json")
    rows = [
        (
            split,
            count(n["count"]),
            percent(n["accuracy"]),
            *(f"{before:.2%} to {after:.2%}" for before, after in [n["ece"]]),
            *(f"{before:.4f} to {after:.4f}" for before, after in (n["loss"], n["brier"])),
        )
        for split, n in record["splits"].items()
    ]
    show_text(table(("split", "images", "accuracy", "ECE", "loss", "Brier"), rows, align="<>>>>>"))
    return 0
