"""A module as an ONNX program: what `export` writes, and what ONNX Runtime and OpenVINO run."""

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.base.errors import CheckFailed
from convsmith.base.logs import hushed
from convsmith.nets.modules.build import BuiltNetwork, blank

OPSET = 18
INPUT = "images"


class ByPosition(nn.Module):
    """A network that takes its inputs one after the other, in place of a dictionary."""

    def __init__(self, network: BuiltNetwork):
        super().__init__()
        self.network, self.names = network, [input.name for input in network.tree.receives]

    def forward(self, *values: Tensor) -> Tensor:
        """The main head's output for the inputs in the order of the tree's `receives`."""
        return self.network(dict(zip(self.names, values, strict=True)))


def onnx_program(module: nn.Module, shape: Sequence[int]) -> Any:
    """torch's ONNX program of a module that takes any number of images of `shape`.

    A tree with further inputs takes all of them under their names, one after the other.
    """
    # Traced with two samples: a batch of one would be taken for a constant.
    sample = blank(module.tree, 2, shape) if isinstance(module, BuiltNetwork) else torch.zeros(2, *shape)
    batch = {0: torch.export.Dim("batch")}
    names, examples, free = [INPUT], (sample,), (batch,)
    if isinstance(module, BuiltNetwork) and not isinstance(sample, Tensor):
        names, examples, free = list(sample), tuple(sample.values()), ((batch,) * len(sample),)
        module = ByPosition(module).train(module.training)
    # The exporter warns about its own internals.
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), hushed("torch.onnx"):
        program = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=free,
            verbose=False,
        )
    if program is None:
        raise CheckFailed("torch gave no ONNX program")
    return program
