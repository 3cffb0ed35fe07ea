"""Whether a network takes the sizes that progressive resizing gives training images."""

from collections.abc import Callable

import torch

from convsmith.base.errors import UsageError
from convsmith.data.preprocess import ImageInput
from convsmith.nets.cost import cost
from convsmith.nets.model import Model
from convsmith.nets.network import Network
from convsmith.training.options import Progressive
from convsmith.training.resizing import Size, sizes

Trial = Callable[[Size], str | None]


def check_resize(rule: Progressive, network: Model, preprocess: ImageInput, seed: int) -> str:
    """The line that says which sizes training sees; UsageError if the network does not take one of them."""
    full = preprocess.size
    seen = sizes(rule, full)
    if seen == (full,):
        raise UsageError(
            f"resize: images of {_text(full)} have no smaller size from {rule.first:g} of it on that is a multiple of "
            f"{rule.multiple}; take a smaller `multiple` or `first`, or leave it out (--resize none)"
        )
    problem_at = _module_trial(network, preprocess, seed) if network.tree is None else _tree_trial(network.tree, full)
    fitting: list[Size] = []
    for size in reversed(seen):
        problem = problem_at(size)
        if problem:
            raise UsageError(f"resize: {network.name} does not take {_text(size)} ({problem}); {_mend(fitting, full)}")
        fitting.append(size)
    grown = "" if seen[-1] == full else f"; evaluation sees {_text(full)}"
    if len(seen) == 1:
        return f"training images are scaled to {_text(seen[0])}{grown}"
    return f"training images grow from {_text(seen[0])} to {_text(seen[-1])}, {rule.start} to {rule.end}{grown}"


def _tree_trial(network: Network, full: Size) -> Trial:
    """A function from a size to the reason why a tree for images of size `full` fails there with the same weights."""

    def weights(size: Size) -> list[tuple[str, int]]:
        return [(layer.name, layer.params) for layer in cost(network, (network.input.channels, *size)).layers]

    expected = weights(full)

    def problem_at(size: Size) -> str | None:
        try:
            layers = weights(size)
        except UsageError as error:
            return str(error)
        changed = next((a[0] for a, b in zip(layers, expected, strict=True) if a != b), None)
        return changed and f"{changed} has weights for one size alone"

    return problem_at


def _module_trial(network: Model, preprocess: ImageInput, seed: int) -> Trial:
    """The same function for a module that is not a tree, which gets blank images."""
    module = network.make(seed)

    def problem_at(size: Size) -> str | None:
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                module(torch.zeros(2, preprocess.channels, *size))
        except Exception as error:  # a user's code may raise any exception
            return f"{type(error).__name__}: {error}"
        return None

    return problem_at


def _mend(fitting: list[Size], full: Size) -> str:
    if not fitting or fitting == [full]:
        return "leave resizing out (--resize none)"
    least = fitting[-1]
    return f"the smallest that it takes is {_text(least)}, first={least[0] / full[0]:.4g}"


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
