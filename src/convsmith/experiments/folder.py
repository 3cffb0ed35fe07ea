"""The folder of an experiment: `experiment.json` says what is trained there, so that it can go on. No torch here."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from convsmith.base.errors import BadFile, UsageError
from convsmith.base.files import read_json
from convsmith.experiments.experiment import Member
from convsmith.report.sections import dotted
from convsmith.runs import claim

STATED = "experiment.json"
_SHOWN = 3


def default_folder(name: str, quick: bool) -> Path:
    """Where an experiment lies if nothing is said: a quick one apart, since its runs say nothing about the question."""
    return Path("runs") / f"experiment-{name}{'-quick' if quick else ''}"


def run_folder(folder: Path, member: Member, seed: int) -> Path:
    """Where the run of a member with a seed lies."""
    return folder / f"{member.name}-seed{seed}"


def claimed(folder: Path, name: str, members: tuple[Member, ...]) -> AbstractContextManager[None]:
    """Make the folder of an experiment, or go on in one with the same settings; UsageError where it is another's.

    Members that it does not state yet are added. Where no run could begin, nothing of it is left.
    """
    path, now = folder / STATED, {member.name: _stated(member) for member in members}
    before = _read(path) if path.is_file() else None
    if before is not None:
        _compare(folder, name, before, now)
    stated = {"experiment": name, "members": {**(before["members"] if before else {}), **now}}
    return claim.claimed(folder, STATED, None if stated == before else stated, "this experiment")


def check_folder(folder: Path, name: str, members: tuple[Member, ...]) -> None:
    """UsageError where the folder holds this experiment with other settings, or another one; none is no problem."""
    if (folder / STATED).is_file():
        _compare(folder, name, _read(folder / STATED), {member.name: _stated(member) for member in members})


def _stated(member: Member) -> dict[str, Any]:
    return {"recipe": member.recipe.to_json(), "start": member.start}


def _read(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("members"), dict) or "experiment" not in found:
        raise BadFile(path, "expected the fields experiment and members; mend: choose another folder with --out")
    return found


def _compare(folder: Path, name: str, before: dict[str, Any], now: dict[str, dict[str, Any]]) -> None:
    if before["experiment"] != name:
        raise UsageError(f"{folder}: holds the experiment {before['experiment']}; choose another folder with --out")
    for member, stated in now.items():
        old = before["members"].get(member, stated)
        differences = _differences(old, stated)
        if differences:
            more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
            raise UsageError(
                f"{folder}: its runs of {member} have other settings: {'; '.join(differences[:_SHOWN])}{more}. Give "
                "those again to go on, or another folder with --out"
            )


def _differences(before: Any, now: Any) -> list[str]:
    """Each setting that is not the same: `recipe.length 10ep there, 5ep now`."""
    old, new = dict(dotted(before)), dict(dotted(now))
    names = dict.fromkeys([*old, *new])
    changed = [name for name in names if old.get(name) != new.get(name)]
    return [
        f"{name.removeprefix('recipe.')} {old.get(name, 'none')} there, {new.get(name, 'none')} now" for name in changed
    ]
