"""One recipe with several seeds, or otherwise several times: the runs in one folder, with a summary."""

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.base.files import read_json, write_json, writing
from convsmith.base.processes import part
from convsmith.base.result import compared, stored_numbers
from convsmith.recipes.compare import spreads
from convsmith.recipes.recipe import Recipe, recipe_from_json
from convsmith.recipes.run import Outcome, resume, train
from convsmith.runs.claim import claimed
from convsmith.runs.directory import is_run

SUMMARY = "summary.json"
# What a summary calls the number of folds, where the runs are of folds.
FOLDS = "folds"


@dataclass(frozen=True)
class Repeated:
    """A folder of runs and what its `summary.json` holds."""

    folder: Path
    summary: dict[str, Any]


@dataclass(frozen=True)
class Member:
    """One of several runs: its folder's name, what is said when it begins, what the summary says of it, its recipe."""

    name: str
    said: str
    about: dict[str, Any]
    recipe: Recipe


def repeat(
    recipe: Recipe, count: int, *, out: Path | None = None, quiet: bool = False, say: Callable[[str], None] = print,
    allow_drift: bool = False,
) -> Repeated:  # fmt: skip
    """Train `recipe` with `count` seeds, from its own upwards, into `out/seed<N>` each, and sum them up.

    A folder that a repetition of the same recipe was interrupted in goes on: finished runs stay, an unfinished one is
    resumed, with `allow_drift` on another machine too. Raises UsageError where `out` holds anything else.
    """
    if count < 2:
        raise UsageError(f"repeat: expected at least 2 runs, received {count}")
    if part().size > 1:
        raise UsageError(
            f"repeat: works in one process, received {part().size}; train each seed by a command of its own"
        )
    members = [
        Member(f"seed{seed}", f"seed {seed}", {"seed": seed}, replace(recipe, seed=seed))
        for seed in range(recipe.seed, recipe.seed + count)
    ]
    folder = default_folder(recipe, f"x{count}") if out is None else out
    return train_members(recipe, members, folder, quiet=quiet, say=say, allow_drift=allow_drift)


def train_members(
    recipe: Recipe,
    members: Sequence[Member],
    folder: Path,
    *,
    quiet: bool,
    say: Callable[[str], None],
    allow_drift: bool = False,
    stated: dict[str, Any] | None = None,
    more: Callable[[list[Outcome]], dict[str, Any]] = lambda outcomes: {},
) -> Repeated:
    """Train each of the members into a folder of its own in `folder`, or go on with what is there, and sum them up.

    `stated` says besides the recipe whose folder it is; the summary gets it, and what `more` makes of all runs.
    """
    stated = {"recipe": recipe.to_json(), **(stated or {})}
    outcomes: list[Outcome] = []
    with _claimed(folder, stated):
        for number, member in enumerate(members, 1):
            path = folder / member.name
            say(f"{member.said}: run {number} of {len(members)}")
            if is_run(path):
                outcomes.append(resume(path, allow_drift=allow_drift, quiet=quiet, say=say))
            else:
                outcomes.append(train(member.recipe, out=path, quiet=quiet, say=say))
        summary = {**stated, **_over_runs(members, outcomes), **more(outcomes)}
        with writing(folder / SUMMARY):
            write_json(folder / SUMMARY, summary)
        return Repeated(folder, summary)


def begun(out: str | None, asked: Recipe) -> Recipe | None:
    """The recipe of the runs in `out`, if its network, weights, seed and data are those of `asked`; else None.

    A repeated command goes on with this recipe: another measurement of the speed could decide on another one.
    """
    path = Path(out) / SUMMARY if out else None
    if path is None or not path.is_file():
        return None
    data = read_json(path)
    if not isinstance(data, dict) or "recipe" not in data:
        return None
    found = recipe_from_json(data["recipe"], str(path))
    sources = {Path(recipe.data.source).resolve() for recipe in (found, asked)}
    same = all(getattr(found, name) == getattr(asked, name) for name in ("network", "weights", "seed"))
    return found if same and len(sources) == 1 else None


def default_folder(recipe: Recipe, kind: str) -> Path:
    """A new folder's path for several runs; `kind` is part of its name."""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", recipe.name).strip("-.") or "run"
    return Path("runs") / f"{datetime.now().astimezone():%Y-%m-%d}-{name}-{kind}-{secrets.token_hex(3)}"


def _claimed(folder: Path, stated: dict[str, Any]) -> AbstractContextManager[None]:
    """Make the folder, or check that it is one of the same recipe; the summary says from the start whose it is."""
    path = folder / SUMMARY
    if not path.is_file():
        return claimed(folder, SUMMARY, stated, "the same repetition")
    found = read_json(path)
    if isinstance(found, dict) and all(found.get(key) == stated.get(key) for key in ("recipe", FOLDS)):
        return claimed(folder, SUMMARY, None, "the same repetition")
    raise UsageError(
        f"{folder}: holds runs of another recipe or first seed, or of other folds; choose another with --out"
    )


def _over_runs(members: Sequence[Member], outcomes: list[Outcome]) -> dict[str, Any]:
    """Each run's numbers, and mean and standard deviation (n - 1) over the runs, for each split that was evaluated."""
    first = outcomes[0].result["metrics"]
    runs = [
        {
            "run": outcome.run.path.name,
            **member.about,
            **{split: _numbers(outcome, split) for split in first if first[split]},
        }
        for member, outcome in zip(members, outcomes, strict=True)
    ]
    over = {
        split: {name: asdict(spread) for name, spread in spreads([run[split] for run in runs]).items()}
        for split in first
        if first[split]
    }
    return {"runs": runs, "over_runs": over}


def _numbers(outcome: Outcome, split: str) -> dict[str, float | None]:
    return compared(stored_numbers(outcome.result, split))
