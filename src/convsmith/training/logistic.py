"""The last layer by multinomial logistic regression on features that are computed once; all else stands still."""

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convsmith.base.errors import UsageError
from convsmith.data.augment import normalise
from convsmith.data.loaders import Loader
from convsmith.runs.directory import RunDirectory
from convsmith.training.fit import epoch_line, save_state
from convsmith.training.job import Job, State
from convsmith.training.progress import Progress

# scikit-learn's C, the inverse of the penalty on the squared weights of features of deviation 1: from strong to weak.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
# Tight enough that it does not matter from where the search began.
_ITERATIONS, _TOLERANCE = 2000, 1e-6


@dataclass(frozen=True)
class Classifier:
    """A linear layer: `weight` (classes, features), `bias` (classes,); `strength` is the C that it was fitted with."""

    weight: np.ndarray
    bias: np.ndarray
    strength: float

    def outputs(self, features: np.ndarray) -> Tensor:
        """Outputs (N, classes) of features (N, features)."""
        return torch.from_numpy(features @ self.weight.T + self.bias)


def solve(
    job: Job, state: State, run: RunDirectory, images: Loader, class_weights: Sequence[float], progress: Progress
) -> str:
    """Fit the model's last layer to the training `images`, the penalty chosen on the validation images; "finished".

    It is one step as long as the run: a run that was stopped before begins it again, with the same result.
    """
    if state.step >= job.span.total_steps:
        return "finished"
    began = time.perf_counter()
    layer = last_linear(state.model)
    if job.validation is None:
        raise UsageError("the penalty of a logistic regression is chosen on validation images, and there are none")
    train = layer_inputs(state.model, layer, images, job)
    val = layer_inputs(state.model, layer, job.validation, job)
    found = regression(train, val, len(job.task.labels), class_weights)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(found.weight))
        layer.bias.copy_(torch.from_numpy(found.bias))
    state.step = job.span.total_steps
    state.images += len(train[1])
    training, validation = (_summary(job, found, *of) for of in (train, val))
    state.best = validation
    state.seconds += time.perf_counter() - began
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
    run.log(f"logistic regression on {train[0].shape[1]} features: C = {found.strength:g} has the lowest val loss")
    progress.line(f"logistic regression, C = {found.strength:g}: " + epoch_line(row, row["epoch"]))
    save_state(job, state, run, best=True)
    return "finished"


def last_linear(model: nn.Module) -> nn.Linear:
    """The linear layer that gives the outputs; UsageError where the last layer with weights is another."""
    layers = [m for m in _main(model).modules() if any(True for _ in m.parameters(recurse=False))]
    if not layers or not isinstance(layers[-1], nn.Linear) or layers[-1].bias is None:
        kind = type(layers[-1]).__name__ if layers else "nothing"
        raise UsageError(f"logistic regression makes a linear layer, and the network's last layer is {kind}")
    return layers[-1]


def layer_inputs(model: nn.Module, layer: nn.Linear, images: Loader, job: Job) -> tuple[np.ndarray, np.ndarray]:
    """What `layer` receives for each image, float64 (N, features), and the classes (N,); the model in evaluation.

    UsageError where the outputs of the model are not those of the layer.
    """
    seen: list[Tensor] = []
    features: list[np.ndarray] = []
    targets: list[np.ndarray] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen[:] = [inputs[0], output.clone()]  # which what follows may write over

    hook = layer.register_forward_hook(note)
    model.eval()
    try:
        with torch.no_grad(), job.engine.uncompiled():
            for batch in images.epoch(0):
                outputs = model(normalise(batch.images, job.preprocess, memory_format=job.engine.memory_format))
                if not seen or not torch.equal(seen[1], outputs):
                    raise UsageError("logistic regression: something follows the network's last linear layer")
                features.append(seen[0].double().cpu().numpy())
                targets.append(batch.targets.cpu().numpy())
    finally:
        hook.remove()
    return np.concatenate(features), np.concatenate(targets)


def regression(
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    classes: int,
    class_weights: Sequence[float] = (),
) -> Classifier:
    """The regression of features (N, features) to classes (N,) whose penalty has the lowest loss on `val`.

    Features get mean 0 and deviation 1 first, so that the penalty means the same to each; the layer has that inside.
    UsageError where a class has no training image, or a feature is no number.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression  # a second of imports that other runs do without

    if not (np.isfinite(train[0]).all() and np.isfinite(val[0]).all()):
        raise UsageError("logistic regression: the features hold values that are no numbers")
    missing = sorted(set(range(classes)) - set(train[1].tolist()))
    if missing:
        raise UsageError(f"logistic regression: class number {missing[0]} of {classes} has no training image")
    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    inputs = (train[0] - mean) / deviation
    each = np.asarray(class_weights)[train[1]] if class_weights else None
    model = LogisticRegression(max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    found: list[tuple[float, Classifier]] = []
    with warnings.catch_warnings():
        # Weak penalties may need more: what they reached is compared like all others.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in STRENGTHS:
            model.set_params(C=strength).fit(inputs, train[1], sample_weight=each)
            weight, bias = (_of_all_classes(np.atleast_1d(of)) for of in (model.coef_, model.intercept_))
            layer = Classifier(weight / deviation, bias - (weight / deviation) @ mean, strength)
            loss = torch.nn.functional.cross_entropy(layer.outputs(val[0]), torch.from_numpy(val[1])).item()
            found.append((loss, layer))
    return min(found, key=lambda pair: pair[0])[1]


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
