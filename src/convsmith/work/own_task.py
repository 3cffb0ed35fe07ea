"""The user's own task, `my_task.py:make`: opened, made and tried before training."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from convsmith.base import user_code
from convsmith.base.config import read_value
from convsmith.base.errors import ConvsmithError, UsageError, WrongType
from convsmith.base.result import summary as summary_of
from convsmith.tasks.task import SUMMARY, Own, described, own_result

# The members of a user's task and their purpose; `tasks.task.Own` wraps them for the training loop.
PARTS = {
    "labels": "the names of the classes",
    "guess_loss": "the loss of a guess without information, 0 if not known",
    "loss": "loss(outputs, targets): the mean training loss of a batch",
    "correct": "correct(outputs, targets): how many of the batch are right",
    "tally": "tally(device): an empty tally with update(outputs, targets) and result()",
}
# The arguments that a function which makes a task may take, with their types.
VALUES = {
    "classes": tuple[str, ...],
    "counts": tuple[int, ...],
    "label_smoothing": float,
    "class_weights": tuple[float, ...],
}
TRIED = 4


@dataclass(frozen=True)
class Maker:
    """The user's function that makes a task, the SHA-256 of its file, and the `values` that it may take."""

    source: str
    fingerprint: str
    values: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The run's record, from which the same task is made again."""
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in self.values.items()}
        return {"source": self.source, "fingerprint": self.fingerprint, "values": values}

    @staticmethod
    def from_json(data: Any) -> "Maker":
        """The maker that `to_json` wrote; UsageError for keys and types that it never writes."""
        if not isinstance(data, dict) or set(data) != {"source", "fingerprint", "values"}:
            raise WrongType(f"task: expected source, fingerprint and values, received {data!r:.200}")
        stored = data["values"]
        if not isinstance(stored, dict) or set(stored) != set(VALUES):
            raise WrongType(f"task.values: expected {', '.join(VALUES)}, received {stored!r:.200}")
        values = {name: read_value(kind, stored[name], f"task.values.{name}") for name, kind in VALUES.items()}
        source = read_value(str, data["source"], "task.source")
        return Maker(source, read_value(str, data["fingerprint"], "task.fingerprint"), values)


def open_maker(text: str, values: dict[str, Any]) -> Maker:
    """The maker that `file.py:function` names; `values` are at least the `classes`."""
    own = user_code.split_source(text)
    if own is None:
        raise UsageError(
            f"task: expected file.py:function, received {text!r}; without it the task follows from the data"
        )
    path, function = own
    user_code.function_of(path, function, "a task")
    return Maker(f"{path.resolve()}:{function}", user_code.fingerprint(path), values)


def make_own(maker: Maker) -> tuple[Own, tuple[str, ...]]:
    """The task, and the names of the values that the user's function does not take.

    Raises UsageError that names the missing members of a task, BadFile if the file has changed.
    """
    path, function = user_code.located(maker.source, maker.fingerprint, "a task")
    values = maker.values
    made = user_code.function_of(path, function, "a task")
    arguments = user_code.taken(made, values, maker.source)
    task = user_code.call(made, arguments, path, function)
    missing = [f"{name} ({what})" for name, what in PARTS.items() if not hasattr(task, name)]
    if missing:
        raise UsageError(
            f"{maker.source} gave a {type(task).__name__} that is not a task; it lacks {'; '.join(missing)}"
        )
    if tuple(task.labels) != tuple(values["classes"]):
        raise UsageError(f"{maker.source}: expected labels to be the classes of the data, received {task.labels!r:.80}")
    return Own(task), tuple(name for name in values if name not in arguments)


def try_task(own: Own, source: str, labels: np.ndarray, mixed: bool) -> None:
    """Call every function of a task with a few made-up outputs; UsageError says what does not fit.

    `labels` are those of the training images. With `mixed`, targets in training are shares of the classes (N, classes).
    """
    task = own.made
    targets = torch.from_numpy(labels[:TRIED])
    classes = len(task.labels)
    soft = targets.float() if targets.ndim == 2 else functional.one_hot(targets, classes).float()
    outputs = torch.linspace(-1, 1, len(targets) * classes).view(-1, classes)
    training = soft if mixed or targets.ndim == 2 else targets
    _number(source, "guess_loss", task.guess_loss)
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        loss = _tried(source, "loss", lambda: task.loss(outputs.clone().requires_grad_(), training), training)
    if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad or not bool(loss.isfinite()):
        raise UsageError(
            f"{source}: loss gave {described(loss)}; expected one finite number as a tensor without axes, with a "
            "gradient: the mean over the batch"
        )
    correct = _tried(source, "correct", lambda: task.correct(outputs, training), training)
    if not isinstance(correct, Tensor) or correct.ndim or not 0 <= correct.item() <= len(targets):
        raise UsageError(
            f"{source}: correct gave {described(correct)} for {len(targets)} examples; expected a count as a tensor "
            "without axes"
        )

    def evaluated() -> Any:
        tally = task.tally("cpu")
        tally.update(outputs, targets)
        made = tally.result()
        if hasattr(made, "numbers"):  # a user's task may use the tally of a built-in task, whose result has numbers
            return summary_of(made), made.to_json(), made
        to_json = getattr(made, "to_json", None)
        return made.summary(), {} if to_json is None else to_json(), made

    summary, record, made = _tried(source, "tally", evaluated, targets)
    absent = [name for name in SUMMARY if not isinstance(summary, dict) or name not in summary]
    if absent:
        raise UsageError(f"{source}: the summary of an evaluation lacks {', '.join(absent)}; received {summary!r:.120}")
    for name in SUMMARY:
        _number(source, f"{name} of an evaluation's summary", summary[name])
    _writable(source, "summary", summary)
    _writable(source, "to_json", record)
    try:
        own_result(made)
    except ConvsmithError as error:
        raise UsageError(f"{source}: {error}") from None


def _tried(source: str, name: str, work: Any, targets: Tensor) -> Any:
    try:
        return work()
    except Exception as error:
        shape = f"targets {str(targets.dtype).removeprefix('torch.')} {tuple(targets.shape)}"
        raise UsageError(f"{source}: {name} failed on {shape}: {type(error).__name__}: {error}") from error


def _number(source: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{source}: expected {name} to be a finite Python number, received {described(value)}")


def _writable(source: str, what: str, data: Any) -> None:
    """Raise UsageError for values that the run could not write as JSON later."""
    for name, value in data.items() if isinstance(data, dict) else [(what, data)]:
        try:
            json.dumps({name: value}, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{source}: {name} of an evaluation's {what} cannot be written as JSON; expected a finite Python "
                "number, None, a text, or lists and dicts of them, received "
                f"{type(value).__name__} {value!r:.60}"
            ) from error
