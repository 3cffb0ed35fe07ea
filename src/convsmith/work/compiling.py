"""Whether a run's steps may be compiled: what in its recipe or network keeps torch.compile from them."""

from dataclasses import replace
from typing import NamedTuple

from convsmith.base.errors import UsageError
from convsmith.data.preprocess import Preprocess
from convsmith.nets.model import Model
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import Engine
from convsmith.training.resizing import sizes

# Sizes beyond torch's limit of graphs run uncompiled: what a step computes would depend on what its process ran before.
GRAPHS = 8


class Obstacle(NamedTuple):
    """Why a run cannot be compiled, and what mends that."""

    why: str
    mend: str


def obstacle(recipe: Recipe, network: Model, preprocess: Preprocess) -> Obstacle | None:
    """What keeps a run from being compiled; None where nothing does."""
    if network.tree is not None and network.tree.recompute:
        # torch.compile wants to say itself what is computed again, and takes no context of ours around it.
        return Obstacle("torch.compile does not take stages that are computed again", "leave out --edit recompute")
    count = 0 if recipe.resize is None else len(sizes(recipe.resize, preprocess.size))
    if recipe.resize is not None and count > GRAPHS:
        return Obstacle(
            f"a compiled network is kept for {GRAPHS} sizes of images at most, and resize has {count}",
            f"take a larger `multiple` than {recipe.resize.multiple}",
        )
    return None


def compiled_where_it_can_be(
    engine: Engine, recipe: Recipe, network: Model, preprocess: Preprocess, notes: list[str]
) -> Engine:
    """The engine, which leaves out compiling where that cannot be and says so; UsageError where it was asked for."""
    found = obstacle(recipe, network, preprocess) if engine.compile else None
    if found is None:
        return engine
    if recipe.engine.compile == "on":
        raise UsageError(f"engine.compile: {found.why}; {found.mend}, or --engine.compile off")
    notes.append(f"the training steps are not compiled: {found.why}")
    return replace(engine, compile=False)
