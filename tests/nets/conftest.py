"""Small networks to test with: one node as a network, and any network with narrow layers."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from convsmith.nets.network import MAIN, Network
from convsmith.nets.ops import Conv, Linear, Pad
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, Node, rewrite

# The workers of pytest-xdist would fight for the cores with each other's threads.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


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
        if isinstance(node, Pad):
            return Pad(node.before // 8, node.after // 8)
        return node

    def make(network: Network) -> Network:
        stages = tuple((name, rewrite(node, narrow, name)) for name, node in network.stages)
        heads = tuple((name, rewrite(node, narrow, name)) for name, node in network.heads)
        return replace(network, stages=stages, heads=heads)

    return make
