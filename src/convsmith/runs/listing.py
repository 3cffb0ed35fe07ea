"""All runs of a folder on one screen, broken ones included."""

from dataclasses import dataclass
from pathlib import Path

from convsmith.base.errors import ConvsmithError
from convsmith.base.result import Number, known, score_name, stored_numbers
from convsmith.runs.directory import RunDirectory, is_run, open_run
from convsmith.runs.metrics import newest_rows
from convsmith.runs.records import result_of
from convsmith.runs.status import Status, effective_state

_MARKS = ("recipe.json", "status.json", "metrics.jsonl", "checkpoints")


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs.

    `state` is that of `effective_state`, or `unreadable` with the `reason`; `created` is Unix time. `score` is the
    number that says how good the run is: of the test images, else the validation images, of the result, else of the
    newest row of metrics that has one, which may be of the training images.
    """

    path: Path
    name: str
    state: str
    created: float
    epoch: int = 0
    seconds: float = 0.0
    score: Number | None = None
    reason: str = ""


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
            _seconds(run, status),
            _score(run),
        )
    except (ConvsmithError, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        # A broken run must be seen in the list, whatever is wrong with it.
        reason = str(error) if isinstance(error, ConvsmithError) else f"{path}: {error!r}"
        return RunSummary(path, path.name, "unreadable", _changed(path), reason=reason)


def _seconds(run: RunDirectory, status: Status) -> float:
    """The time of the training: that of the result if there is one, which `train` says too."""
    return float(result_of(run)["seconds"]) if status.state == "finished" and run.has("result") else status.seconds


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _score(run: RunDirectory) -> Number | None:
    if run.has("result"):
        record = result_of(run)
        splits = [stored_numbers(record, split) for split in ("test", "val")]
        # A run that has ended is not judged by its training images.
        if any(splits):
            return next(numbers[0] for numbers in splits if numbers)
    for row in newest_rows(run.path / "metrics.jsonl"):
        for split in ("val_", "train_"):
            named = {name.removeprefix(split): value for name, value in row.items() if name.startswith(split)}
            if (name := score_name(named)) in named:
                return known(name, named[name])
    return None
