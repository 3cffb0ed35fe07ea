"""The last layer by multinomial logistic regression on features that are computed once; all else stands still."""

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
from convsmith.nets.tree import MAIN
from convsmith.runs.directory import RunDirectory
from convsmith.training.fit import epoch_line, save_state
from convsmith.training.job import Job, State
from convsmith.training.progress import Progress

# scikit-learn's C, the inverse of the penalty on the squared weights of features of deviation 1: from strong to weak.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
# Tight enough that it does not matter from where the search began.
_ITERATIONS, _TOLERANCE = 2000, 1e-6
# Training images up to which the penalty is chosen on fifths of them: some seconds of work.
FEW, FOLDS = 2000, 5

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """What the last layer receives, float32 (N, features), and the classes (N,), of training and validation images.

    `class_weights` are those of the classes in the loss; `seconds` is what computing the features took.
    """

    train: Pair
    val: Pair
    class_weights: Sequence[float] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Classifier:
    """A linear layer: `weight` (classes, features), `bias` (classes,); `strength` is the C that it was fitted with.

    `why` says how that was chosen.
    """

    weight: np.ndarray
    bias: np.ndarray
    strength: float
    why: str = ""

    def outputs(self, features: np.ndarray) -> Tensor:
        """Outputs (N, classes) of features (N, features)."""
        return torch.from_numpy(features @ self.weight.T + self.bias)


def solve(job: Job, state: State, run: RunDirectory, inputs: Inputs, progress: Progress) -> str:
    """Give the model's last layer the regression of its `inputs`; "finished".

    It is one step as long as the run: a run that was stopped before begins it again, with the same result.
    """
    if state.step >= job.span.total_steps:
        return "finished"
    began = time.perf_counter()
    found = fit_layer(state.model, inputs, len(job.task.labels))
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
        "val_accuracy": validation["score"],
        "seconds": round(state.seconds, 3),
        "images_per_second": None,
        "data_wait": None,
    }
    run.append_metrics(row)
    job.tracker.row(row)
    run.log(f"logistic regression on {inputs.train[0].shape[1]} features: {found.why}")
    progress.line(f"logistic regression, C = {found.strength:g}: " + epoch_line(row, row["epoch"]))
    save_state(job, state, run, best=True)
    return "finished"


def fit_layer(model: nn.Module, inputs: Inputs, classes: int) -> Classifier:
    """Give the last linear layer of `model` the regression of what it receives; says what it was."""
    layer = model.get_submodule(last_linear(model))
    found = regression(inputs, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(found.weight))  # pyright: ignore[reportArgumentType, reportCallIssue]
        layer.bias.copy_(torch.from_numpy(found.bias))  # pyright: ignore[reportArgumentType, reportCallIssue]
    return found


def last_linear(model: nn.Module) -> str:
    """The path of the linear layer that gives the outputs; UsageError where the last layer with weights is another."""
    main = _main(model)
    layers = [(name, m) for name, m in main.named_modules() if any(True for _ in m.parameters(recurse=False))]
    name, layer = layers[-1] if layers else ("", None)
    if not isinstance(layer, nn.Linear) or layer.bias is None:
        kind = "nothing" if layer is None else type(layer).__name__
        raise UsageError(f"logistic regression makes a linear layer, and the network's last layer is {kind}")
    return name if main is model else f"{MAIN}.{name}"


def regression(inputs: Inputs, classes: int) -> Classifier:
    """The regression of the training features to their classes.

    Its penalty has the lowest loss: of few training images on fifths of them, each left out in turn, which leaves the
    validation images out of the choice; of more than `FEW` on the validation images, since five times the work would
    take minutes. Features get mean 0 and deviation 1 first, so that the penalty means the same to each; the layer has
    that inside. UsageError where a class has no training image, or a feature is not finite.
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
    """Five ways to leave out a fifth of few images, each class in proportion; None for many, or too few of a class."""
    from sklearn.model_selection import StratifiedKFold

    if len(targets) > FEW or np.bincount(targets).min() < FOLDS:
        return None
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(targets, targets))


def _losses(train: Pair, rest: Any, each: np.ndarray | None, part: Any, of: Pair) -> np.ndarray:
    """The cross-entropy on the images `part` of a pair for each strength, fitted to the training images `rest`."""
    targets = torch.from_numpy(of[1][part])
    outputs = (found.outputs(of[0][part]) for found in _fitted(train, rest, each, STRENGTHS))
    return np.array([torch.nn.functional.cross_entropy(each, targets, reduction="sum").item() for each in outputs])


def _fitted(train: Pair, at: Any, each: np.ndarray | None, strengths: Sequence[float]) -> Iterator[Classifier]:
    """A classifier for each of the strengths, from strong penalties to weak; each search begins at the last result."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # a second of imports that other runs do without

    features, targets = train[0][at].astype(np.float64), train[1][at]
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    model = LogisticRegression(max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    for strength in strengths:
        with warnings.catch_warnings():
            # Weak penalties may need more: what they reached is compared like all others.
            warnings.simplefilter("ignore", ConvergenceWarning)
            weight_of = None if each is None else each[at]
            model.set_params(C=strength).fit((features - mean) / deviation, targets, sample_weight=weight_of)
        weight, bias = (_of_all_classes(np.atleast_1d(of)) for of in (model.coef_, model.intercept_))
        yield Classifier(weight / deviation, bias - (weight / deviation) @ mean, strength)


def _of_all_classes(values: np.ndarray) -> np.ndarray:
    """A row for each class: scikit-learn gives for two the difference alone."""
    return np.concatenate([-values / 2, values / 2]) if len(values) == 1 else values


def _main(model: nn.Module) -> nn.Module:
    """The head whose output the model gives, where the model is a tree; else all of it."""
    return getattr(model, "head", model) if hasattr(model, "tree") else model


def _summary(job: Job, found: Classifier, features: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    tally = job.task.tally("cpu")
    tally.update(found.outputs(features).float(), torch.from_numpy(targets))
    return tally.result().summary()
