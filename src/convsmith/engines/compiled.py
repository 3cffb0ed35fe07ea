"""torch.compile with frozen weights: operators fused, filters laid out once for the kernels that use them."""

from dataclasses import replace

import torch
from torch import Tensor

from convsmith.base.logs import hushed
from convsmith.engines.inference import Inference
from convsmith.engines.runner import Compute
from convsmith.training.engine import Engine


def compiled(model: Inference, engine: Engine, batch: int) -> Compute:
    """One graph for `batch` images; in bf16 (fp16 on older GPUs) where the engine has it."""
    engine = replace(engine, channels_last=model.fast_layout)
    module = engine.place(model.merged())
    graph = torch.compile(module, dynamic=False, fullgraph=True, options={"freezing": True})

    def compute(images: Tensor) -> Tensor:
        inputs = images.to(engine.device).contiguous(memory_format=engine.memory_format)
        # Not inference_mode: freezing looks for no_grad.
        with torch.no_grad(), engine.autocast():
            return graph(inputs).float().cpu()

    with hushed("torch.utils.cpp_extension", "torch._inductor"):
        compute(torch.zeros(batch, *model.shape))
    return compute
