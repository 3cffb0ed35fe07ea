"""Whether torch.compile can compile a run's steps, by its recipe and network."""

from dataclasses import replace
from typing import NamedTuple

from convsmith.base.errors import UsageError
from convsmith.data.preprocess import ImageInput
from convsmith.nets.model import Model
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import Engine
from convsmith.training.resizing import sizes

# Sizes beyond torch's limit of graphs run uncompiled, so a step would depend on what its process ran before.
GRAPHS = 8


class Obstacle(NamedTuple):
    """The reason why a run cannot be compiled, and how to mend that."""

    why: str
    mend: str


def obstacle(recipe: Recipe, network: Model, preprocess: ImageInput) -> Obstacle | None:
    """The first obstacle to compiling the run; None if there is none."""
    if network.tree is not None and network.tree.recompute:
        # torch.compile plans recomputation itself and refuses the context of our checkpoints.
        return Obstacle("torch.compile does not take stages that are computed again", "leave out --edit recompute")
    count = 0 if recipe.resize is None else len(sizes(recipe.resize, preprocess.size))
    if recipe.resize is not None and count > GRAPHS:
        return Obstacle(
            f"a compiled network is kept for {GRAPHS} sizes of images at most, and resize has {count}",
            f"take a larger `multiple` than {recipe.resize.multiple}",
        )
    return None


def compiled_where_it_can_be(
    engine: Engine, recipe: Recipe, network: Model, preprocess: ImageInput, notes: list[str]
) -> Engine:
    """The engine, without compilation if there is an obstacle. UsageError if the user asked for compilation."""
    problem = obstacle(recipe, network, preprocess) if engine.compile else None
    if problem is None:
        return engine
    if recipe.engine.compile == "on":
        raise UsageError(f"engine.compile: {problem.why}; {problem.mend}, or --engine.compile off")
    notes.append(f"the training steps are not compiled: {problem.why}")
    return replace(engine, compile=False)
