"""ONNX Runtime on the processor."""

from typing import Any

import torch
from torch import Tensor

from convsmith.engines.graph import INPUT, onnx_program
from convsmith.engines.inference import Inference
from convsmith.engines.runner import Compute
from convsmith.engines.silent import import_silent
from convsmith.training.engine import Engine


def onnxruntime(model: Inference, engine: Engine, batch: int) -> Compute:
    """The exported network with all of ONNX Runtime's optimizations, in fp32."""
    runtime: Any = import_silent("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = engine.threads
    options.log_severity_level = 3  # errors
    # Bytes, not a file: a network above their limit of 2 GB is refused.
    data = onnx_program(model.merged(), model.shape).model_proto.SerializeToString()
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def compute(images: Tensor) -> Tensor:
        (outputs,) = session.run(None, {INPUT: images.contiguous().numpy()})
        return torch.from_numpy(outputs)

    return compute
