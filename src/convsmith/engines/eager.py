"""torch operator by operator, in fp32, with the layout that convolutions prefer."""

from dataclasses import replace

import torch
from torch import Tensor

from convsmith.engines.inference import Inference
from convsmith.engines.runner import Compute
from convsmith.training.engine import Engine


def as_it_is(model: Inference, engine: Engine) -> Compute:
    """The network with nothing merged: what training evaluates, and what every engine is compared with."""
    return _computing(model.module, replace(engine, channels_last=model.channels_last, precision="fp32"))


def eager(model: Inference, engine: Engine, batch: int) -> Compute:
    """Parallel convolutions and batch norms merged, channels last."""
    return _computing(model.merged(), replace(engine, channels_last=model.fast_layout, precision="fp32"))


def _computing(module: torch.nn.Module, engine: Engine) -> Compute:
    module = engine.place(module)

    def compute(images: Tensor) -> Tensor:
        inputs = images.to(engine.device).contiguous(memory_format=engine.memory_format)
        with torch.no_grad():
            return module(inputs).float().cpu()

    return compute
