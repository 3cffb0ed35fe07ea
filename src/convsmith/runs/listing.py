"""All runs of a folder on one screen, broken ones included. No torch here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convsmith.base.errors import ConvsmithError
from convsmith.runs.directory import RunDirectory, is_run, open_run
from convsmith.runs.metrics import newest_rows
from convsmith.runs.status import effective_state

_MARKS = ("recipe.json", "status.json", "metrics.jsonl", "checkpoints")


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs.

    `state` is that of `effective_state`, or `unreadable` with the `reason`; `scores` are the numbers named after
    accuracy (dots join nested names) in `result.json`, else in the newest row of metrics that has any; `created` is
    Unix time.
    """

    path: Path
    name: str
    state: str
    created: float
    epoch: int = 0
    seconds: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def accuracy(self) -> float | None:
        """The score to show where there is room for one: `accuracy` itself, else that of the test, else the first."""
        names = sorted(self.scores, key=lambda name: (name != "accuracy", "test" not in name))
        return self.scores[names[0]] if names else None


def list_runs(root: str | Path = Path("runs")) -> list[RunSummary]:
    """The runs directly inside `root`, or `root` itself where it is one, the oldest first; broken ones are listed."""
    root = Path(root)
    if is_run(root):
        return [_summary(root)]
    folders = [p for p in root.iterdir() if _may_be_run(p)] if root.is_dir() else []
    return sorted((_summary(p) for p in folders), key=lambda s: (s.created, s.name))


def _may_be_run(path: Path) -> bool:
    try:
        if path.name.startswith(".") or not path.is_dir():
            return False
        names = {p.name for p in path.iterdir()}
    except OSError:
        return True
    return "run.json" in names or not names.isdisjoint(_MARKS)


def _summary(path: Path) -> RunSummary:
    try:
        run = open_run(path)
        head, status = run.record("run"), run.status()
        return RunSummary(
            path,
            str(head.get("name", path.name)),
            effective_state(status),
            float(head["created"]),
            status.epoch,
            status.seconds,
            _scores(run),
        )
    except (ConvsmithError, OSError, KeyError, TypeError, ValueError) as error:
        # A broken run must be seen in the list, whatever is wrong with it.
        reason = str(error) if isinstance(error, ConvsmithError) else f"{path}: {error!r}"
        return RunSummary(path, path.name, "unreadable", _changed(path), reason=reason)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _scores(run: RunDirectory) -> dict[str, float]:
    if run.has("result"):
        result = run.record("result")
        found = dict(_accuracies(result))
        # A task of one's own may have no accuracy, and that of the training images must not stand for it.
        if found or (isinstance(result, dict) and any((result.get("metrics") or {}).values())):
            return found
    for row in newest_rows(run.path / "metrics.jsonl"):
        found = dict(_accuracies(row))
        if found:
            return found
    return {}


def _accuracies(data: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            yield from _accuracies(value, name)
        elif "accuracy" in name and isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
