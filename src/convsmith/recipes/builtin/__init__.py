"""The built-in recipes by name: functions that give a recipe with its source, its deviations and our result."""

from collections.abc import Iterator

from convsmith.base.table import Table
from convsmith.recipes.builtin import small
from convsmith.recipes.builtin.cifar import DATA
from convsmith.recipes.builtin.cifar_residual import residual
from convsmith.recipes.builtin.cifar_speed import speed, speed_small
from convsmith.recipes.builtin.cifar_wide import wide_and_grouped
from convsmith.recipes.builtin.entry import NEVER_RUN, BuiltIn
from convsmith.recipes.builtin.imagenet import alexnet, googlenet, resnet50, vgg16
from convsmith.recipes.builtin.imagenet_fast import PROCEDURES, sixteen_epochs, strikes_back
from convsmith.recipes.builtin.imagenet_mobile import efficientnet_b0, mobilenet_v2, shufflenet
from convsmith.recipes.recipe import Recipe

__all__ = ["BuiltIn", "NEVER_RUN", "RECIPES", "never_run"]


def _entries() -> Iterator[BuiltIn]:
    yield from (small.digits(), small.lenet5_mnist(), small.lenet5_mnist_distorted(), small.photos())
    yield from (small.autoencoder_mnist(), small.vae_mnist())
    yield from (speed(), speed_small())
    for data in DATA:
        yield from residual(data)
        yield from wide_and_grouped(data)
    yield from (alexnet(), vgg16(), googlenet(), resnet50(), sixteen_epochs(), *map(strikes_back, PROCEDURES))
    yield from (mobilenet_v2(), shufflenet("v1"), shufflenet("v2"), efficientnet_b0())


RECIPES: Table[BuiltIn] = Table("recipe", {entry.recipe.name: entry for entry in _entries()})


def never_run(recipe: Recipe) -> str | None:
    """The line that says so where `recipe` is, or began as, a built-in one that we never ran to its end."""
    entry = RECIPES.get(recipe.name)
    if entry is None or entry.was_run:
        return None
    return f"{recipe.name} was never run by us to its end; reported for it: {entry.figure}"
