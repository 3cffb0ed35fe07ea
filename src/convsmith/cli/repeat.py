"""`convsmith train ... --repeat N` and `--kfold K`: the runs of several seeds or folds and what they have in common."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import print_json
from convsmith.cli.output import show, show_text
from convsmith.recipes.finetune import FineTuning
from convsmith.recipes.limit import Limit
from convsmith.recipes.recipe import Recipe
from convsmith.report.scores import SHARES, score_of, short_name
from convsmith.report.text import count, interval, many, table

_SPLITS = {"val": "validation", "test": "test"}


def check_repeat(values: argparse.Namespace) -> None:
    """Refuse what cannot be repeated."""
    for name, what in (("repeat", "runs"), ("kfold", "folds")):
        number = getattr(values, name)
        if number is not None and number < 2:
            raise UsageError(f"train: --{name} must be at least 2, received {number}")
        if number is not None and values.dry_run:
            raise UsageError(f"train: --dry-run is of one run; leave out --{name}, which makes {number} {what}")
    if values.repeat is not None and values.kfold is not None:
        raise UsageError("train: --repeat and --kfold both say what the runs of a folder are; give one")


def train_repeatedly(
    recipe: Recipe,
    values: argparse.Namespace,
    tuning: FineTuning | None,
    limit: Limit | None,
    say: Callable[[str], None],
) -> int:
    """Train with several seeds, or on folds, and print each run, the mean and the standard deviation.

    With a `tuning` it is chosen once what learns, and with a `limit` how long each run takes, for all runs.
    """
    if tuning is not None or limit is not None:
        begun = import_module("convsmith.recipes.repeat").begun(values.out, recipe)
        recipe = begun or _decided(recipe, tuning, limit, say)
    out = Path(values.out) if values.out else None
    how: Any = {"out": out, "quiet": values.quiet, "say": say, "allow_drift": values.allow_drift}
    if values.kfold is not None:
        found = import_module("convsmith.recipes.kfold").cross_validate(recipe, values.kfold, **how)
    else:
        found = import_module("convsmith.recipes.repeat").repeat(recipe, values.repeat, **how)
    if values.json:
        print_json({"folder": str(found.folder), **found.summary})
        return 0
    over = found.summary["over_runs"]
    numbers = next(iter(over.values()), {})
    score = score_of(numbers) or next(iter(numbers), "score")
    rows = [(run["run"], *(_shown(run[split][score], score) for split in over)) for run in found.summary["runs"]]
    for name in ("mean", "deviation"):
        label = "standard deviation" if name == "deviation" else name
        rows.append((label, *(_shown(over[split][score][name], score) for split in over)))
    header = (short_name(score), *(_SPLITS[split] for split in over))
    show_text(table(header, rows, align="<" + ">" * len(over)))
    _print_out_of_fold(found.summary)
    show(f"folder   {found.folder}")
    show(f"summary  {found.folder / 'summary.json'}")
    runs = [str(found.folder / run["run"]) for run in found.summary["runs"]]
    if values.kfold is None:
        show(f"next     convsmith compare {' '.join(runs)}")
    else:
        show(f"next     convsmith eval {runs[0]} --split val")
    return 0


def _decided(recipe: Recipe, tuning: FineTuning | None, limit: Limit | None, say: Callable[[str], None]) -> Recipe:
    """The recipe with the values that its data and the speed of this machine decide."""
    if tuning is not None:
        plan = import_module("convsmith.recipes.transfer").prepare_finetuning(recipe, tuning, say=say, limit=limit).plan
    else:
        plan = import_module("convsmith.recipes.within").planned(recipe, limit)
    say(plan.notes[-1])
    return plan.recipe


def _print_out_of_fold(summary: dict[str, Any]) -> None:
    if "out_of_fold" in summary:
        numbers = summary["out_of_fold"]
        right = round(numbers["accuracy"] * numbers["count"])
        images = many(numbers["count"], "image")
        show(
            f"out of fold  {numbers['accuracy']:.2%}  ({count(right)} of {images}, each by the run that "
            f"did not train on it; 95% interval {interval(*numbers['interval'])})"
        )


def _shown(value: Any, score: str) -> str:
    return "-" if value is None else f"{value:.2%}" if score in SHARES else f"{value:.4f}"
