"""One recipe with several seeds: the runs in one folder, with a summary."""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.files import read_json, write_json
from convsmith.recipes.compare import NUMBERS, spreads
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.run import Outcome, resume, train
from convsmith.runs.directory import is_run
from convsmith.runs.writing import writing

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Repeated:
    """A folder of runs and what its `summary.json` holds."""

    folder: Path
    summary: dict[str, Any]


def repeat(
    recipe: Recipe, count: int, *, out: Path | None = None, quiet: bool = False, say: Callable[[str], None] = print
) -> Repeated:
    """Train `recipe` with `count` seeds, from its own upwards, into `out/seed<N>` each, and sum them up.

    A folder that a repetition of the same recipe was interrupted in goes on: finished runs stay, an unfinished one is
    resumed. Raises UsageError where `out` holds anything else.
    """
    if count < 2:
        raise UsageError(f"repeat: expected at least 2 runs, received {count}")
    folder = _default_folder(recipe, count) if out is None else out
    outcomes: list[Outcome] = []
    with _claimed(folder, recipe):
        for seed in range(recipe.seed, recipe.seed + count):
            path = folder / f"seed{seed}"
            say(f"seed {seed}: run {len(outcomes) + 1} of {count}")
            if is_run(path):
                outcomes.append(resume(path, quiet=quiet, say=say))
            else:
                outcomes.append(train(replace(recipe, seed=seed), out=path, quiet=quiet, say=say))
        return Repeated(folder, _write_summary(folder, recipe, outcomes))


def _default_folder(recipe: Recipe, count: int) -> Path:
    name = re.sub(r"[^A-Za-z0-9._]+", "-", recipe.name).strip("-.") or "run"
    return Path("runs") / f"{datetime.now().astimezone():%Y-%m-%d}-{name}-x{count}-{secrets.token_hex(3)}"


@contextmanager
def _claimed(folder: Path, recipe: Recipe) -> Iterator[None]:
    """Make the folder, or check that it is one of the same recipe; the summary says from the start whose it is.

    Where no run could begin, nothing of it is left.
    """
    stated = recipe.to_json()
    path = folder / SUMMARY
    if path.is_file():
        found = read_json(path)
        if isinstance(found, dict) and found.get("recipe") == stated:
            yield
            return
        raise UsageError(f"{folder}: holds runs of another recipe or first seed; choose another with --out")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: expected a new or empty folder, or one of the same repetition; choose another")
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"recipe": stated})
    try:
        yield
    except BaseException:
        if not any(map(is_run, folder.iterdir())):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # something else may have come to lie there
                for place in missing:
                    place.rmdir()
        raise


def _write_summary(folder: Path, recipe: Recipe, outcomes: list[Outcome]) -> dict[str, Any]:
    """Each run's numbers, and mean and standard deviation (n - 1) over the runs, for each split that was evaluated."""
    first = outcomes[0].result["metrics"]
    runs = [
        {
            "run": outcome.run.path.name,
            "seed": recipe.seed + number,
            **{split: _numbers(outcome, split) for split in first if first[split]},
        }
        for number, outcome in enumerate(outcomes)
    ]
    over = {
        split: {name: asdict(spread) for name, spread in spreads([run[split] for run in runs]).items()}
        for split in first
        if first[split]
    }
    summary = {"recipe": recipe.to_json(), "runs": runs, "over_runs": over}
    with writing(folder / SUMMARY):
        write_json(folder / SUMMARY, summary)
    return summary


def _numbers(outcome: Outcome, split: str) -> dict[str, float | None]:
    found = outcome.result["metrics"][split]
    return {name: found.get(name) for name in NUMBERS}
