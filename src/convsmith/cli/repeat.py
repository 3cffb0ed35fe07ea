"""`convsmith train ... --repeat N` and `--kfold K`: runs with several seeds or on folds, and their spread."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.result import known, numbers_of
from convsmith.cli.series import print_expected, print_series
from convsmith.recipes.finetune import FineTuning
from convsmith.recipes.recipe import Recipe
from convsmith.report.text import count, interval, many
from convsmith.work.limit import Limit


def check_repeat(values: argparse.Namespace) -> None:
    """Raise UsageError for numbers or options that cannot be repeated."""
    for name in ("repeat", "kfold"):
        number = getattr(values, name)
        if number is not None and number < 2:
            raise UsageError(f"train: --{name} must be at least 2, received {number}")
    if values.repeat is not None and values.kfold is not None:
        raise UsageError("train: --repeat and --kfold both say what the runs of a folder are; give one")


def train_repeatedly(
    recipe: Recipe,
    values: argparse.Namespace,
    tuning: FineTuning | None,
    limit: Limit | None,
    say: Callable[[str], None],
) -> int:
    """Train with several seeds, or on folds, and print each run and their spread; or say what that takes.

    With a `tuning` the choice of what learns, and with a `limit` the length, is made once for all runs.
    """
    from convsmith.series.folder import default_folder
    from convsmith.series.kfold import cross_validate
    from convsmith.series.repeat import begun, repeat
    from convsmith.series.running import expectations, train_series

    if tuning is not None or limit is not None:
        recipe = begun(values.out, recipe) or _decided(recipe, tuning, limit, say)
    folds = values.kfold is not None
    series = cross_validate(recipe, values.kfold) if folds else repeat(recipe, values.repeat)
    kind = f"folds{values.kfold}" if folds else f"x{values.repeat}"
    folder = Path(values.out) if values.out else default_folder(recipe, kind)
    if values.dry_run:
        return print_expected(expectations(series.members, folder), values.json)
    done = train_series(series, folder, quiet=values.quiet, say=say, allow_other_machine=values.allow_other_machine)
    runs = [str(folder / run["run"]) for run in done.summary["runs"]]
    then = f"convsmith eval {runs[0]} --split val" if folds else f"convsmith compare {' '.join(runs)}"
    rows, lines = spread_rows(done.summary), _out_of_fold(done.summary)
    return print_series(folder, done.summary, values.json, rows, lines, then)


def spread_rows(summary: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The table of runs, header first: the score on each evaluated split, then mean, deviation and interval."""
    from convsmith.series.results import SPLITS, columns, run_rows

    shown = [column for column in columns(summary["runs"]) if column.split != "train"]
    header = (known(shown[0].name).title if shown else "score", *(SPLITS[column.split] for column in shown))
    over = [(column, summary["over_runs"][column.split][column.name]) for column in shown]
    return [
        header,
        *run_rows(summary, shown)[1:],
        ("mean", *(column.text(spread["mean"]) for column, spread in over)),
        ("standard deviation", *(column.text(spread["deviation"]) for column, spread in over)),
        ("95% interval of the mean", *(column.ends(spread["interval"]) for column, spread in over)),
    ]


def _out_of_fold(summary: Mapping[str, Any]) -> list[str]:
    if "out_of_fold" not in summary:
        return []
    numbers = summary["out_of_fold"]
    score, images = numbers_of(None, numbers)[0], many(numbers["count"], "image")
    value = numbers[score.name]
    each = f"{images}, each by the run that did not train on it"
    if score.interval is None:
        return [f"out of fold  {score.title} {value:.4f}  ({each})"]
    right = round(value * numbers["count"])
    return [f"out of fold  {value:.2%}  ({count(right)} of {each}; 95% interval {interval(*score.interval)})"]


def _decided(recipe: Recipe, tuning: FineTuning | None, limit: Limit | None, say: Callable[[str], None]) -> Recipe:
    """The recipe with the values that depend on its data and the speed of this machine."""
    from convsmith.work.transfer import prepare_finetuning
    from convsmith.work.within import planned

    plan = planned(recipe, limit) if tuning is None else prepare_finetuning(recipe, tuning, say=say, limit=limit).plan
    say(plan.notes[-1])
    return plan.recipe
