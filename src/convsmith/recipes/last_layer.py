"""What a plan's last layer receives: from the feature store, computed where it is not there."""

import time
from collections.abc import Callable

from torch import nn

from convsmith.base.errors import UsageError
from convsmith.engines.features import LAST, Frozen, features
from convsmith.recipes.prepare import Plan, make_model
from convsmith.runs.subject import make_module
from convsmith.training.logistic import Inputs, fit_layer, last_linear

Say = Callable[[str], None]


def frozen(plan: Plan, module: nn.Module) -> Frozen:
    """The plan's network with the weights of `module`, as the feature store takes it."""
    copied = make_module(plan.network, plan.recipe.seed)
    copied.load_state_dict(module.state_dict())
    last = last_linear(copied) if has_linear_last(copied) else None
    return Frozen(plan.network, copied.eval(), last, plan.dataset.preprocess, plan.engine)


def has_linear_last(module: nn.Module) -> bool:
    """Whether the last layer is one that a regression on features can make."""
    try:
        last_linear(module)
    except UsageError:
        return False
    return True


def last_inputs(plan: Plan, module: nn.Module, say: Say, quiet: bool) -> Inputs:
    """What the last layer of `module` receives for the training and the validation images."""
    data, began = plan.dataset, time.perf_counter()
    if not len(data.val):
        raise UsageError("a logistic regression is judged on validation images, and there are none")
    last_linear(module)  # says what the last layer is where it is no linear one
    network = frozen(plan, module)
    parts = [
        (features(network, of, plan.recipe.data, quiet=quiet, say=say)[:, network.columns[LAST]], of.labels)
        for of in (data.train, data.val)
    ]
    return Inputs(parts[0], parts[1], plan.learned.class_weights, plan.spent + time.perf_counter() - began)


def first_model(plan: Plan, notes: list[str], say: Say, quiet: bool) -> nn.Module:
    """The plan's network with its first weights; where the recipe says so, its last layer has learned already."""
    module = make_model(plan, notes)
    if plan.recipe.start_head:
        found = fit_layer(module, last_inputs(plan, module, say, quiet), len(plan.dataset.card.classes))
        notes.append(f"the last layer starts as a logistic regression: {found.why}")
    return module
