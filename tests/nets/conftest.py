"""Small networks to test with, any network with narrow layers, and weights for other projects' networks."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from convsmith.nets.network import MAIN, Network
from convsmith.nets.ops import Conv, Linear, PadChannels
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, Node, rewrite

# The workers of pytest-xdist would fight for the cores with each other's threads.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


POOL = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))  # repeats cheaply, with a prime period


def _random_state(peer: nn.Module) -> dict[str, torch.Tensor]:
    """Values for each tensor that keep the activations near one; statistics of batch normalization too."""
    state = peer.state_dict()  # not a new dictionary: some of torchvision's look for the version that this one holds
    for number, (key, like) in enumerate(list(state.items())):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(5)
            continue
        start = 7919 * number % 500_000
        values = POOL[start:].repeat(like.numel() // (len(POOL) - start) + 1)[: like.numel()].view(like.shape)
        if like.dim() > 1:
            values.mul_((2 / like[0].numel()) ** 0.5)
        elif key.endswith(("running_var", "weight")):
            values.abs_().add_(0.5)
        else:
            values.mul_(0.1)
        state[key] = values
    return state


@pytest.fixture(scope="session")
def filled() -> Callable[[Callable[[], nn.Module]], tuple[nn.Module, dict[str, torch.Tensor]]]:
    """A network of another project with random weights and running statistics, in evaluation, and these values."""

    def make(peer: Callable[[], nn.Module]) -> tuple[nn.Module, dict[str, torch.Tensor]]:
        with torch.device("meta"):
            module = peer()
        state = _random_state(module)
        module.load_state_dict(state, assign=True)
        return module.eval(), state

    return make


@pytest.fixture(scope="session")
def one_stage() -> Callable[..., Network]:
    """A network whose only stage is `node`, for an input of (channels, *sizes)."""

    def make(node: Node, input: tuple[int, ...], head: Node = IDENTITY) -> Network:
        shape = Shape(input[0], tuple(input[1:]))
        return Network(name="tiny", family="tiny", input=shape, stages=(("stage1", node),), heads=((MAIN, head),))

    return make


@pytest.fixture(scope="session")
def narrowed() -> Callable[..., Network]:
    """The network with an eighth of its channels, so that the deepest runs in a moment."""

    def narrow(path: str, node: Node) -> Node:
        if isinstance(node, Conv) and node.channels >= 16:
            return replace(node, channels=node.channels // 8)
        if isinstance(node, Linear) and node.channels >= 1000:
            return replace(node, channels=16)
        if isinstance(node, PadChannels):
            return PadChannels(node.before // 8, node.after // 8)
        return node

    def make(network: Network) -> Network:
        stages = tuple((name, rewrite(node, narrow, name)) for name, node in network.stages)
        heads = tuple((name, rewrite(node, narrow, name)) for name, node in network.heads)
        return replace(network, stages=stages, heads=heads)

    return make
