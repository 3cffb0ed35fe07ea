"""`convsmith train ... --repeat N`: the runs of several seeds and what they have in common."""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import print_json
from convsmith.recipes.recipe import Recipe
from convsmith.report.text import table

_SPLITS = {"val": "validation", "test": "test"}


def check_repeat(values: argparse.Namespace) -> None:
    """Refuse what cannot be repeated."""
    if values.repeat is not None and values.repeat < 2:
        raise UsageError(f"train: --repeat must be at least 2, received {values.repeat}")
    if values.repeat is not None and values.dry_run:
        raise UsageError("train: --dry-run is of one run; leave out --repeat")


def train_repeatedly(recipe: Recipe, values: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Train with several seeds and print each run, the mean and the standard deviation."""
    repeating = import_module("convsmith.recipes.repeat")
    out = Path(values.out) if values.out else None
    repeated = repeating.repeat(recipe, values.repeat, out=out, quiet=values.quiet, say=say)
    if values.json:
        print_json({"folder": str(repeated.folder), **repeated.summary})
        return 0
    over = repeated.summary["over_runs"]
    rows = [(run["run"], *(f"{run[split]['accuracy']:.2%}" for split in over)) for run in repeated.summary["runs"]]
    for name in ("mean", "deviation"):
        label = "standard deviation" if name == "deviation" else name
        rows.append((label, *(_percent(over[split]["accuracy"][name]) for split in over)))
    header = ("accuracy", *(_SPLITS[split] for split in over))
    print(table(header, rows, align="<" + ">" * len(over)))
    print(f"folder   {repeated.folder}")
    print(f"summary  {repeated.folder / repeating.SUMMARY}")
    runs = " ".join(str(repeated.folder / run["run"]) for run in repeated.summary["runs"])
    print(f"next     convsmith compare {runs}")
    return 0


def _percent(value: Any) -> str:
    return "-" if value is None else f"{value:.2%}"
