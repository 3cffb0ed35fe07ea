"""What is learned: the protocol of a task, and the part that is the same for every task with one target per output."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from convsmith.base.errors import UsageError, WrongType
from convsmith.base.record import as_python
from convsmith.base.result import Measures, Number, Result, Samples, json_value, known
from convsmith.data.loaders import Batch

Row = tuple[Tensor, ...]
# What the summary of a user's task has at least.
SUMMARY = ("score", "loss", "count")
# What some tasks are able to do: mean probabilities of several networks, a temperature, answers through views.
Ability = Literal["mean", "temperature", "views"]
_IS_FOR = {
    "mean": "the mean of probabilities is for images with classes",
    "temperature": "a temperature is for one label for each image",
    "views": "views: are for one label for each image",
}


class Run(Protocol):
    """The network as the engine runs it, with what a task may know of the moment.

    `run(inputs)` gives the main output and a dictionary of the places `at`, all float32. `auxiliary` names the heads
    with the main head's question, whose losses count `auxiliary_weight` times. `seed` and `epoch` are for draws by key;
    an evaluation is epoch -1. `noise` is how many normal numbers the network's sampling layers draw for an example.
    `more` goes to the network: `noise` (N, run.noise), or `after`, the stage whose output the inputs are.
    """

    @property
    def auxiliary(self) -> tuple[str, ...]: ...
    @property
    def auxiliary_weight(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def noise(self) -> int: ...
    def __call__(self, inputs: Any, at: Collection[str] = (), **more: Any) -> tuple[Tensor, dict[str, Tensor]]: ...
    def pixels(self, inputs: Tensor) -> Tensor:
        """The normalized images' levels as shares from 0 to 1, float32."""
        ...


class Losses(NamedTuple):
    """The losses of a batch: `total` is the mean over the examples, on which `backward` is called.

    `right` counts the examples that are right, None if the task has no such thing. `parts` are logged by name.
    """

    total: Tensor
    right: Tensor | None = None
    parts: Mapping[str, Tensor] = {}


class Tally(Protocol):
    """The sums of an evaluation. `update` takes the rows that `measure` gave, batch by batch, in their order."""

    def update(self, *rows: Tensor) -> None: ...
    def result(self) -> Result: ...


class Task:
    """What is learned. A task's class overrides `losses`, `measure` and `tally`, and what else it is able to do.

    `about` names the task in messages. `parts` are the names of the parts of its loss, fixed for the life of a run.
    `guess_loss` is the loss of an answer that knows nothing, 0 if that is not known. A loss that couples the examples
    of a batch sets `whole_batch`: the batch is then never split. `counts_right` says whether `Losses.right` is there.
    """

    about: str = "a task of its own"
    abilities: frozenset[Ability] = frozenset()
    parts: tuple[str, ...] = ()
    whole_batch: bool = False
    counts_right: bool = True

    @property
    def guess_loss(self) -> float:
        return 0.0

    def losses(self, run: Run, batch: Batch) -> Losses:
        """The training losses of a batch, whose inputs are normalized."""
        raise NotImplementedError

    def measure(self, run: Run, batch: Batch) -> Row:
        """What the tally needs of a batch: tensors with a row for each example. It runs without gradient."""
        raise NotImplementedError

    def tally(self, device: str) -> Tally:
        """An empty tally."""
        raise NotImplementedError

    def evaluating(self, temperature: float = 1.0, bins: int | None = None) -> Self:
        """The task with all numbers of an evaluation: outputs are divided by `temperature`; `bins` are of the ECE."""
        return self

    def require(self, ability: Ability, what: str) -> None:
        """UsageError if the task lacks an ability; `what` begins the message."""
        if ability not in self.abilities:
            raise UsageError(f"{what}{_IS_FOR[ability]}, and this run has {self.about}")

    def mean_outputs(self, members: Sequence[tuple[np.ndarray, float]]) -> Tensor:
        """Outputs that give the mean of the members' probabilities; each has outputs (N, ...) and a temperature."""
        raise NotImplementedError

    def pooled(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """The numbers of all examples together from the JSON of results on parts of them, the score first.

        None if the task has no such numbers.
        """
        return None

    def fitted_temperature(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """The temperature with the smallest loss."""
        raise NotImplementedError


class Supervised(Task):
    """A task whose loss compares the main output with the batch's targets.

    A subclass has `loss(outputs, targets)` and `correct(outputs, targets)`, both float32 outputs.
    """

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean training loss of a batch."""
        raise NotImplementedError

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many examples of the batch are right, on the device."""
        raise NotImplementedError

    def losses(self, run: Run, batch: Batch) -> Losses:
        """The loss of the main output, and of each auxiliary head times the weight (Szegedy et al. 2015, section 5)."""
        outputs, others = run(batch.inputs, at=run.auxiliary)
        loss = self.loss(outputs, batch.targets)
        if others:
            added = sum(self.loss(other, batch.targets) for other in others.values())
            loss = loss + run.auxiliary_weight * added
        return Losses(loss, self.correct(outputs.detach(), batch.targets))

    def measure(self, run: Run, batch: Batch) -> Row:
        """The main outputs and the targets."""
        return run(batch.inputs)[0], batch.targets


@dataclass(frozen=True)
class Own(Supervised):
    """A user's task: any object with `guess_loss`, `loss`, `correct` and `tally` (see `own_task.PARTS`)."""

    made: Any

    @property
    def guess_loss(self) -> float:
        return self.made.guess_loss

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = self.made.loss(outputs, targets)
        if not isinstance(loss, Tensor) or loss.ndim or torch.is_grad_enabled() > loss.requires_grad:
            raise WrongType(
                f"{type(self.made).__name__}.loss gave {described(loss)}; expected one number as a tensor without "
                "axes, with a gradient: the mean over the batch"
            )
        return loss

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        correct = self.made.correct(outputs, targets)
        if not isinstance(correct, Tensor) or correct.ndim:
            raise WrongType(
                f"{type(self.made).__name__}.correct gave {described(correct)}; expected a count as a tensor without "
                "axes"
            )
        return correct

    def tally(self, device: str) -> Tally:
        return OwnTally(self.made.tally(device))


@dataclass(frozen=True)
class OwnTally:
    """The tally of a user's task; its result is wrapped, so that it says itself."""

    made: Any

    def update(self, *rows: Tensor) -> None:
        self.made.update(*rows)

    def result(self) -> Result:
        return own_result(self.made.result())


def own_result(made: Any) -> Result:
    """The result of a user's task as one that says itself: the score, the loss and the other plain numbers.

    A result of our own tasks, whose tally a user's task may take, says itself already.
    """
    if hasattr(made, "numbers"):
        return made
    name = type(made).__name__
    told = made.summary()
    summary = _own_values(f"{name}.summary()", told)
    if absent := [key for key in SUMMARY if key not in summary]:
        raise WrongType(f"{name}.summary() lacks {', '.join(absent)}; it has {', '.join(summary) or 'nothing'}")
    record = _own_values(f"{name}.to_json()", made.to_json()) if hasattr(made, "to_json") else summary
    count = summary["count"]
    if not isinstance(count, int | float) or count < 1 or count != int(count):
        raise WrongType(f"{name}.summary() has the count {count!r:.60}; expected how many examples there were")
    shown = [key for key in ("accuracy", "map") if key in summary]
    logged = {"loss", *(shown or ["score"])}
    values = {**{key: summary[key] for key in ("score", *shown, "loss")}, **record}
    plain = {key: v for key, v in values.items() if key != "count" and (v is None or type(v) in (int, float))}
    # Training stops where what it decides by is not finite, and says which of NaN and infinity it was.
    decisive = {key: as_python(told[key]) for key in ("score", "loss") if plain.get(key, 0) is None}
    plain |= {key: v if isinstance(v, float) else math.nan for key, v in decisive.items()}
    numbers = [
        _own_number(key, value)._replace(place="log" if key in logged else "table") for key, value in plain.items()
    ]
    samples = _own_samples(made, name, int(count))
    return Measures(tuple(numbers), int(count), samples=samples, record={**record, "count": int(count)}, made=made)


def _own_values(where: str, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise WrongType(f"{where} gave {described(values)}; expected a dict of numbers by name")
    return json_value(values, where)


def _own_samples(made: Any, name: str, count: int) -> Samples:
    """The values by example of a user's result, as far as it has them: a row for each of its examples."""
    arrays = {key: getattr(made, key, None) for key in ("sample_loss", "right", "outputs")}
    loss, right, outputs = (None if array is None else np.asarray(array) for array in arrays.values())
    for key, array in zip(arrays, (loss, right, outputs), strict=True):
        if array is not None and (array.shape[:1] != (count,) or array.dtype.kind not in "biuf"):
            raise WrongType(
                f"{name}.{key}: expected numbers for each of {count} examples, received {array.dtype} {array.shape}"
            )
    return Samples(loss, None if right is None else right.astype(bool), outputs)


def described(value: Any) -> str:
    """What a user's code gave, for a message."""
    if isinstance(value, Tensor):
        gradient = "" if value.requires_grad else ", no gradient"
        return f"a tensor of shape {tuple(value.shape)}{gradient}" if value.ndim else f"{value.item():.4g}{gradient}"
    return f"{value!r:.60}"


def _own_number(name: str, value: float | None) -> Number:
    return known(name, value) if name in ("loss", "accuracy", "map") else Number(name, value)
