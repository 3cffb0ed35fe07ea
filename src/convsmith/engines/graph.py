"""A module as an ONNX program: what `export` writes, and what ONNX Runtime and OpenVINO run."""

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from convsmith.base.errors import CheckFailed
from convsmith.base.logs import hushed

OPSET = 18
INPUT = "images"


def onnx_program(module: nn.Module, shape: Sequence[int]) -> Any:
    """torch's ONNX program of a module that takes any number of images of `shape`."""
    # Traced with two samples: a batch of one would be taken for a constant.
    sample = torch.zeros(2, *shape)
    # The exporter warns about its own internals.
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), hushed("torch.onnx"):
        program = torch.onnx.export(
            module,
            (sample,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    if program is None:
        raise CheckFailed("torch gave no ONNX program")
    return program
