"""Fits the last layer by multinomial logistic regression on features that are computed once; the rest is frozen."""

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError
from convsmith.base.result import summary
from convsmith.nets.tree import MAIN
from convsmith.report.text import many
from convsmith.runs.directory import RunDirectory
from convsmith.training.fit import epoch_line, save_state
from convsmith.training.job import Job, State
from convsmith.training.solver import Beside

# Values of scikit-learn's C, the inverse strength of the L2 penalty, from the strongest penalty to the weakest.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
# Tight enough that the result does not depend on the starting point.
_ITERATIONS, _TOLERANCE = 2000, 1e-6
# Up to FEW training images the penalty is chosen by cross-validation in FOLDS folds, which takes seconds.
FEW, FOLDS = 2000, 5

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """The last layer's inputs, float32 (N, features), and the classes (N,) of training and validation images.

    `class_weights` weight the classes in the loss. `seconds` is the time that the features took.
    """

    train: Pair
    val: Pair
    class_weights: Sequence[float] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Classifier:
    """A linear layer: `weight` (classes, features) and `bias` (classes,), fitted with the C `strength`.

    `why` says how the C was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    why: str = ""

    def outputs(self, features: np.ndarray) -> Tensor:
        """Outputs (N, classes) of features (N, features)."""
        return torch.from_numpy(features @ self.weight.T + self.bias)


@dataclass(frozen=True)
class Logistic:
    """The solver `logistic`: it fits the model's last layer to its `inputs`.

    The fit counts as all steps of the run. A run that is stopped before its end starts it again, with the same result.
    """

    inputs: Inputs

    def __call__(self, job: Job, state: State, run: RunDirectory, beside: Beside) -> str:
        """Fit, write the log and a checkpoint; gives "finished"."""
        _solve(job, state, run, self.inputs, beside)
        beside.beat(state.step, math.ceil(state.step / job.span.steps_per_epoch))  # after the log: its clock is the end
        return "finished"


def _solve(job: Job, state: State, run: RunDirectory, inputs: Inputs, beside: Beside) -> None:
    if state.step >= job.span.total_steps:
        return
    began = time.perf_counter()
    found = fit_layer(state.model, inputs, job.classes)
    state.step = job.span.total_steps
    state.images += len(inputs.train[1])
    training, validation = (_summary(job, found, *of) for of in (inputs.train, inputs.val))
    state.best = validation
    state.seconds += inputs.seconds + time.perf_counter() - began
    row: dict[str, Any] = {
        "epoch": math.ceil(state.step / job.span.steps_per_epoch),
        "step": state.step,
        "lr": 0.0,
        "train_loss": training["loss"],
        "train_accuracy": training["accuracy"],
        "val_loss": validation["loss"],
        "val_accuracy": validation["accuracy"],
        "seconds": round(state.seconds, 3),
        "images_per_second": None,
        "data_wait": None,
    }
    run.append_metrics(row)
    job.tracker.row(row)
    run.log(f"logistic regression on {many(inputs.train[0].shape[1], 'feature')}: {found.why}")
    beside.progress.line(f"logistic regression, C = {found.strength:g}: " + epoch_line(row, row["epoch"]))
    save_state(job, state, run, best=True)


def fit_layer(model: nn.Module, inputs: Inputs, classes: int) -> Classifier:
    """Fit the last linear layer of `model` to its inputs in place; gives the fitted classifier."""
    layer = model.get_submodule(last_linear(model))
    found = regression(inputs, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(found.weight))  # pyright: ignore[reportArgumentType, reportCallIssue]
        layer.bias.copy_(torch.from_numpy(found.bias))  # pyright: ignore[reportArgumentType, reportCallIssue]
    return found


def last_linear(model: nn.Module) -> str:
    """The path of the last layer with weights; UsageError if it is not linear, or has no bias."""
    main = _main(model)
    layers = [(name, m) for name, m in main.named_modules() if any(True for _ in m.parameters(recurse=False))]
    name, layer = layers[-1] if layers else ("", None)
    if not isinstance(layer, nn.Linear) or layer.bias is None:
        kind = "nothing" if layer is None else type(layer).__name__
        raise UsageError(f"logistic regression makes a linear layer, and the network's last layer is {kind}")
    return name if main is model else f"{MAIN}.{name}"


def regression(inputs: Inputs, classes: int) -> Classifier:
    """The logistic regression of the training classes on the training features.

    The penalty is the one with the lowest loss in cross-validation; for more than `FEW` training images, with the
    lowest loss on the validation images, since the folds would take minutes. Features are scaled to mean 0 and
    deviation 1, so that the penalty weighs them equally; the layer includes the scaling. Raises UsageError if a class
    has no training image, or a feature is NaN or infinite.
    """
    train, val = inputs.train, inputs.val
    if not (np.isfinite(train[0]).all() and np.isfinite(val[0]).all()):
        raise UsageError("logistic regression: the features hold values that are not finite")
    missing = sorted(set(range(classes)) - set(train[1].tolist()))
    if missing:
        raise UsageError(f"logistic regression: class number {missing[0]} of {classes} has no training image")
    each = np.asarray(inputs.class_weights)[train[1]] if inputs.class_weights else None
    if (folds := _folds(train[1])) is not None:
        losses = sum(_losses(train, rest, each, part, train) for rest, part in folds)
        strength = STRENGTHS[int(np.argmin(losses))]
        why = f"C = {strength:g} has the lowest loss on fifths of the training images that are left out in turn"
    else:
        strength = STRENGTHS[int(np.argmin(_losses(train, slice(None), each, slice(None), val)))]
        why = f"C = {strength:g} has the lowest val loss"
    return replace(next(_fitted(train, slice(None), each, (strength,))), why=why)


def _folds(targets: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Stratified folds (fitted indices, left-out indices); None for more than FEW images, or under FOLDS of a class."""
    from sklearn.model_selection import StratifiedKFold

    if len(targets) > FEW or np.bincount(targets).min() < FOLDS:
        return None
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(targets, targets))


def _losses(train: Pair, rest: Any, each: np.ndarray | None, part: Any, of: Pair) -> np.ndarray:
    """The cross-entropy for each strength on the images `part` of the pair `of`, after a fit to `rest` of `train`."""
    targets = torch.from_numpy(of[1][part])
    outputs = (found.outputs(of[0][part]) for found in _fitted(train, rest, each, STRENGTHS))
    return np.array([torch.nn.functional.cross_entropy(each, targets, reduction="sum").item() for each in outputs])


def _fitted(train: Pair, at: Any, each: np.ndarray | None, strengths: Sequence[float]) -> Iterator[Classifier]:
    """A classifier for each strength, fitted to the images `at` of `train`; each fit starts from the one before."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # its import takes a second, which other runs save

    features, targets = train[0][at].astype(np.float64), train[1][at]
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    model = LogisticRegression(max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    for strength in strengths:
        with warnings.catch_warnings():
            # Fits with weak penalties may not converge: their results are compared like all others.
            warnings.simplefilter("ignore", ConvergenceWarning)
            weight_of = None if each is None else each[at]
            model.set_params(C=strength).fit((features - mean) / deviation, targets, sample_weight=weight_of)
        weight, bias = (_of_all_classes(np.atleast_1d(of)) for of in (model.coef_, model.intercept_))
        yield Classifier(weight / deviation, bias - (weight / deviation) @ mean, strength)


def _of_all_classes(values: np.ndarray) -> np.ndarray:
    """One row for each class. For two classes scikit-learn gives one row, the difference."""
    return np.concatenate([-values / 2, values / 2]) if len(values) == 1 else values


def _main(model: nn.Module) -> nn.Module:
    """The main head if the model is a tree, else the model."""
    return getattr(model, "head", model) if hasattr(model, "tree") else model


def _summary(job: Job, found: Classifier, features: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    tally = job.task.tally("cpu")
    tally.update(found.outputs(features).float(), torch.from_numpy(targets))
    return summary(tally.result())
