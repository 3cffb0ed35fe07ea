"""All runs of a folder on one screen, broken ones included. No torch here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convsmith.base.errors import ConvsmithError
from convsmith.report.scores import SCORES
from convsmith.runs.directory import RunDirectory, is_run, open_run
from convsmith.runs.metrics import newest_rows
from convsmith.runs.status import effective_state

_MARKS = ("recipe.json", "status.json", "metrics.jsonl", "checkpoints")


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs.

    `state` is that of `effective_state`, or `unreadable` with the `reason`; `scores` are the numbers whose names end
    as one of `SCORES` (dots join nested names) in `result.json`, else in the newest row of metrics that has any;
    `created` is Unix time.
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
    def score(self) -> tuple[str, float] | None:
        """What to show where there is room for one number, by the order of `SCORES`: what it is, and its value.

        That of the test comes first, that of the training images only where there is no other.
        """
        order = list(SCORES)
        found = [(what, name) for name in self.scores if (what := _what(name))]
        if not found:
            return None
        what, name = min(found, key=lambda one: ("train" in one[1], order.index(one[0]), "test" not in one[1]))
        return what, self.scores[name]


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
        found = dict(_named_scores(result))
        # A task of one's own may have none of them, and the accuracy on the training images must not stand for it.
        if found or (isinstance(result, dict) and any((result.get("metrics") or {}).values())):
            return found
    for row in newest_rows(run.path / "metrics.jsonl"):
        found = dict(_named_scores(row))
        if found:
            return found
    return {}


def _named_scores(data: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            yield from _named_scores(value, name)
        elif _what(name) and isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _what(name: str) -> str | None:
    """Which of `SCORES` a number is by its name: `metrics.test.top5_accuracy` is an accuracy."""
    last = name.rpartition(".")[2]
    return next((what for what in SCORES if last == what or last.endswith(f"_{what}")), None)
