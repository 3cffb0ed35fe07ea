"""`convsmith eval RUN [RUN ...]`."""

import argparse
from collections.abc import Sequence
from dataclasses import astuple
from importlib import import_module
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import Parser, add_edit, add_output, add_short, add_views, megapixels, print_json, say
from convsmith.cli.numbers import CLASSES, fraction, is_classification, other_table, print_other
from convsmith.cli.output import show, show_text
from convsmith.cli.pictures import check_folders, picture_file, write_picture
from convsmith.data.views import price, read_views, views_text
from convsmith.report.reliability import Reliability, reliability_svg
from convsmith.report.text import clean, count, interval, many, percent, table
from convsmith.runs.directory import open_run
from convsmith.training.options import EngineOptions

CONFUSED = 8
ENSEMBLE = "ensemble"


def run(words: Sequence[str]) -> int:
    """Evaluate runs exactly: each image once, in fp32."""
    values = _parser().read(words)
    _check(values)
    if values.calibrate:
        return _calibrate(values)
    evaluating = import_module("convsmith.recipes.evaluate")
    evaluated = [_evaluate(evaluating, path, values) for path in values.runs]
    rows = [(path, e.result) for path, e in zip(values.runs, evaluated, strict=True)]
    if values.ensemble:
        rows.append((ENSEMBLE, evaluating.ensemble(evaluated)))
    if values.plot:
        choice = import_module("convsmith.recipes.task_choice")
        for name, result in rows:
            choice.as_classification(result, f"{name}: a reliability diagram")
    write_picture(values.plot, lambda: reliability_svg([_reliability(name, r, values.bins) for name, r in rows]))
    if values.json:
        print_json(_as_json(evaluated, rows, values))
    elif len(rows) > 1:
        show_text(f"{_where(evaluated)}\n")
        show_text(evaluation_table(rows, values.bins))
    else:
        _print_one(values.runs[0], evaluated[0], values.bins)
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
    """Refuse what does not go together before the seconds that torch takes to load."""
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
        engine=EngineOptions(device=values.device),
    )
    for warning in () if values.quiet else evaluated.subject.warnings:
        say(f"warning: {warning}")
    return evaluated


def evaluation_table(rows: Sequence[tuple[str, Any]], bins: int = 15) -> str:
    """A row for each name with its evaluation."""
    if not all(is_classification(result) for _, result in rows):
        return other_table(rows)
    cells = [
        (
            name,
            percent(r.accuracy),
            interval(*r.interval),
            percent(r.averages.balanced_accuracy),
            percent(r.averages.f1),
            fraction(r.auc),
            f"{r.loss:.4f}",
            f"{r.brier:.4f}",
            percent(r.ece(bins)),
        )
        for name, r in rows
    ]
    header = ("run", "accuracy", "95% interval", "balanced", "F1", "AUC", "loss", "Brier", "ECE")
    return table(header, cells, align="<>>>>>>>>")


def _where(evaluated: Sequence[Any]) -> str:
    """What the rows of a table were evaluated on: one line where it is the same for all."""
    places = list(dict.fromkeys((e.split, len(e.examples)) for e in evaluated))
    seen = list(dict.fromkeys(_views(e) for e in evaluated if e.views))
    through = "".join(f"\nviews {text}" for text in seen)
    if len(places) == 1:
        return f"on {places[0][0]}: {many(places[0][1], 'image')} each{through}"
    lines = (f"{clean(str(e.subject.run.path))} on {e.split}: {many(len(e.examples), 'image')}" for e in evaluated)
    return "\n".join(lines) + through


def _views(evaluated: Any) -> str:
    """The views with their price."""
    cost = price(evaluated.views, evaluated.subject.preprocess)
    return (
        f"{views_text(evaluated.views)}: {count(cost.views)} of each image, {cost.pixels:g} times the pixels; "
        "the mean of their probabilities"
    )


def _print_one(name: str, evaluated: Any, bins: int) -> None:
    result, subject = evaluated.result, evaluated.subject
    calibrated = f", temperature {subject.temperature:.3g}" if subject.temperature != 1 else ""
    images = many(len(evaluated.examples), "image")
    show(f"{name} on {evaluated.split}: {images}, weights of step {subject.step}{calibrated}")
    if evaluated.views:
        show(f"views     {_views(evaluated)}")
    if not is_classification(result):
        print_other(result)
        return
    right, means = round(result.accuracy * result.count), result.averages
    show(f"accuracy  {result.accuracy:.2%}  ({count(right)} right; 95% interval {interval(*result.interval)})")
    if result.top5 is not None:
        show(f"top 5     {result.top5:.2%}")
    show(f"balanced  {means.balanced_accuracy:.2%}  (mean recall of the classes)")
    show(f"means     precision {percent(means.precision)}, recall {percent(means.recall)}, F1 {percent(means.f1)}")
    show(f"AUC       {fraction(result.auc)}  (each class against the rest, mean)")
    show(f"loss      {result.loss:.4f}")
    show(f"Brier     {result.brier:.4f}")
    show(f"ECE       {result.ece(bins):.2%}  (expected calibration error, {bins} bins)")
    show()
    _print_classes(result)
    _print_confused(result)


def _print_classes(result: Any) -> None:
    shown = result.per_class
    if len(shown) > CLASSES:
        shown = sorted(shown, key=lambda c: 2.0 if c.f1 is None else c.f1)[:CLASSES]
    rows = [(c.label, percent(c.precision), percent(c.recall), percent(c.f1), count(c.support)) for c in shown]
    show_text(table(("class", "precision", "recall", "F1", "images"), rows, align="<>>>>"))
    if len(shown) < len(result.per_class):
        show(f"(the {CLASSES} of {len(result.per_class)} classes with the lowest F1; all with --json)")


def _print_confused(result: Any) -> None:
    labels = [c.label for c in result.per_class]
    pairs = [
        (n, labels[i], labels[j]) for i, row in enumerate(result.confusion) for j, n in enumerate(row) if i != j and n
    ]
    if pairs:
        show_text("\nmost confused")
        for n, true, called in sorted(pairs, key=lambda p: -p[0])[:CONFUSED]:
            show(f"  {n:>5} x {true} called {called}")


def _as_json(evaluated: Sequence[Any], rows: Sequence[tuple[str, Any]], values: argparse.Namespace) -> Any:
    """One object for one run, else a list of them; with an ensemble its `members` and itself."""
    members = [
        _numbers(result, values.bins)
        | {"split": e.split, "step": e.subject.step, "temperature": e.subject.temperature}
        | _views_json(e)
        for e, (_, result) in zip(evaluated, rows, strict=False)
    ]
    if len(rows) == 1:
        return members[0]
    members = [{"run": name} | member for (name, _), member in zip(rows, members, strict=False)]
    return {"members": members, ENSEMBLE: _numbers(rows[-1][1], values.bins)} if values.ensemble else members


def _views_json(evaluated: Any) -> dict[str, Any]:
    if not evaluated.views:
        return {}
    cost = price(evaluated.views, evaluated.subject.preprocess)
    return {"views": views_text(evaluated.views), "views_of_an_image": cost.views, "pixels": cost.pixels}


def _numbers(result: Any, bins: int) -> dict[str, Any]:
    if not is_classification(result):
        return result.to_json() if hasattr(result, "to_json") else result.summary()
    return result.to_json() | {"ece": result.ece(bins), "reliability": [vars(b) for b in result.reliability(bins)]}


def _reliability(name: str, result: Any, bins: int) -> Reliability:
    return Reliability(Path(name).name, [astuple(b) for b in result.reliability(bins)], result.ece(bins))


def _calibrate(values: argparse.Namespace) -> int:
    (path,) = values.runs
    record = import_module("convsmith.recipes.evaluate").calibrate_run(path, EngineOptions(device=values.device))
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
