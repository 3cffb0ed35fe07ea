"""The inputs of a plan's last layer: read from the feature store, or computed."""

import time
from collections.abc import Callable

from torch import nn

from convsmith.base.errors import UsageError
from convsmith.engines.features import LAST, Frozen, features
from convsmith.training.logistic import Inputs, fit_layer, last_linear
from convsmith.work.prepare import Plan, make_model

Say = Callable[[str], None]


def frozen(plan: Plan, module: nn.Module) -> Frozen:
    """The plan's network with the weights of `module`, as the argument of `features`."""
    copied = plan.network.make(plan.recipe.seed)
    copied.load_state_dict(module.state_dict())
    last = last_linear(copied) if has_linear_last(copied) else None
    return Frozen(plan.network, copied.eval(), last, plan.dataset.preprocess, plan.engine)


def has_linear_last(module: nn.Module) -> bool:
    """Whether the last layer is linear, so that a regression on features can fit it."""
    try:
        last_linear(module)
    except UsageError:
        return False
    return True


def last_inputs(plan: Plan, module: nn.Module, say: Say, quiet: bool) -> Inputs:
    """The inputs of the last layer of `module` for the training and the validation images.

    Raises UsageError if there are no validation images, or the last layer is not linear.
    """
    data, began = plan.dataset, time.perf_counter()
    if not len(data.val):
        raise UsageError("a logistic regression is judged on validation images, and there are none")
    last_linear(module)  # raises UsageError with the layer's type if it is not linear
    network = frozen(plan, module)
    parts = [
        (features(network, of, plan.recipe.data, quiet=quiet, say=say)[:, network.columns[LAST]], of.labels)
        for of in (data.train, data.val)
    ]
    return Inputs(parts[0], parts[1], plan.learned.class_weights, plan.spent + time.perf_counter() - began)


def first_model(plan: Plan, notes: list[str], say: Say, quiet: bool) -> nn.Module:
    """The plan's network with its first weights. With `start_head` its last layer is fitted by regression first."""
    module = make_model(plan, notes)
    if plan.recipe.start_head:
        fitted = fit_layer(module, last_inputs(plan, module, say, quiet), len(plan.dataset.card.classes))
        notes.append(f"the last layer starts as a logistic regression: {fitted.why}")
    return module
