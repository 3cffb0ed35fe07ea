"""The folder of a series: `series.json` states its members, so that it can be resumed."""

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, UsageError
from convsmith.base.files import json_bytes, make_folder, read_json, write_files
from convsmith.recipes.recipe import Recipe, recipe_from_json
from convsmith.report.sections import dotted
from convsmith.runs.directory import is_run
from convsmith.runs.lock import locked
from convsmith.series.member import Member

STATED, SUMMARY, PICTURE, REPORT = "series.json", "summary.json", "picture.svg", "report.html"
SEEDS, RECIPE = "several seeds", "recipe"
_SHOWN = 3


def default_folder(recipe: Recipe, kind: str) -> Path:
    """A new folder's path for several runs of a recipe; `kind` is part of its name."""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", recipe.name).strip("-.") or "run"
    return Path("runs") / f"{datetime.now().astimezone():%Y-%m-%d}-{name}-{kind}-{secrets.token_hex(3)}"


def folds_name(count: int) -> str:
    """The name of the series of `count` folds."""
    return f"{count} folds"


def experiment_name(name: str) -> str:
    """The name of the series of an experiment."""
    return f"the experiment {name}"


@contextmanager
def claimed(folder: Path, name: str, of: Sequence[Member]) -> Iterator[None]:
    """Make the folder of the series `name`, or reuse one with the same settings, and lock it for this process.

    New members are added to `series.json`. A new folder in which no run could begin is removed. UsageError if the
    folder belongs to something else.
    """
    check_folder(folder, name, of)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    make_folder(folder)
    with locked(folder):
        before = check_folder(folder, name, of)
        try:
            members = {**(before["members"] if before else {}), **_members(of)}
            write_files({folder / STATED: json_bytes({"series": name, "members": members})})
            yield
        except BaseException:
            if before is None and folder.is_dir() and not any(map(is_run, folder.iterdir())):
                (folder / STATED).unlink(missing_ok=True)
                for place in missing:
                    with suppress(OSError):  # another process may have written there
                        place.rmdir()
            raise


def check_folder(folder: Path, name: str, of: Sequence[Member]) -> dict[str, Any] | None:
    """The contents of `series.json`, None for a new folder; UsageError for another series or other settings."""
    before = stated(folder) if folder.is_dir() else None
    if before is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder}: expected a new or empty folder, or one of {name}; choose another with --out")
        return None
    if before["series"] != name:
        raise UsageError(f"{folder}: holds {before['series']}, expected {name}; choose another folder with --out")
    for member, now in _members(of).items():
        if differences := _differences(before["members"].get(member, now), now):
            more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
            of_member = f" of {member}" if member != RECIPE else ""
            raise UsageError(
                f"{folder}: its runs{of_member} have other settings: {'; '.join(differences[:_SHOWN])}{more}. Give "
                "those again to go on, or another folder with --out"
            )
    return before


def stated(folder: Path) -> dict[str, Any] | None:
    """The name of the folder's series (`series`) and its `members`, each with `recipe` and `after`; None: no series."""
    path = next((folder / name for name in (STATED, "experiment.json", SUMMARY) if (folder / name).is_file()), None)
    if path is None:
        return None
    data = read_json(path)
    data = data if path.name == STATED or not isinstance(data, dict) else _before_series(data)
    if not isinstance(data, dict) or not isinstance(data.get("members"), dict) or "series" not in data:
        raise BadFile(path, "expected the fields series and members; mend: choose another folder with --out")
    return data | {"members": {name: _read(member, path) for name, member in data["members"].items()}}


def _before_series(data: dict[str, Any]) -> Any:
    """The contents of `series.json` from `experiment.json` or from the summary of an earlier version."""
    if RECIPE in data:
        name = folds_name(data["folds"]) if "folds" in data else SEEDS
        return {"series": name, "members": {RECIPE: {"recipe": data[RECIPE]}}}
    return {"series": experiment_name(data.get("experiment", "")), "members": data.get("members", {})}


def _read(member: Any, path: Path) -> dict[str, Any]:
    if not isinstance(member, dict) or "recipe" not in member:
        raise BadFile(path, "expected a recipe for each member; mend: choose another folder with --out")
    # Fields of later versions get their default values.
    recipe = recipe_from_json(member["recipe"], str(path)).to_json()
    return {"recipe": recipe, "after": member.get("after", member.get("start"))}


def _members(of: Sequence[Member]) -> dict[str, dict[str, Any]]:
    return {member.name: {"recipe": member.recipe.to_json(), "after": member.after} for member in of}


def _differences(before: Any, now: Any) -> list[str]:
    """Each setting that is not the same: `recipe.length 10ep there, 5ep now`."""
    old, new = dict(dotted(before)), dict(dotted(now))
    names = dict.fromkeys([*old, *new])
    changed = [name for name in names if old.get(name) != new.get(name)]
    return [
        f"{name.removeprefix('recipe.')} {old.get(name, 'none')} there, {new.get(name, 'none')} now" for name in changed
    ]
