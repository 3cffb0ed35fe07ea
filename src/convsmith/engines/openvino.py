"""OpenVINO on the processor."""

import torch
from torch import Tensor

from convsmith.engines.graph import onnx_program
from convsmith.engines.inference import Inference
from convsmith.engines.runner import Compute
from convsmith.engines.silent import import_silent
from convsmith.training.engine import Engine

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def openvino(model: Inference, engine: Engine, batch: int) -> Compute:
    """The exported network, made for `batch` images and all threads together; bf16 where the engine has it."""
    core = import_silent("openvino").Core()
    # Read as ONNX: OpenVINO's own conversion from torch asks the network.
    network = core.read_model(model=onnx_program(model.merged(), model.shape).model_proto.SerializeToString())
    network.reshape([batch, *model.shape])
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS[engine.precision],
        "INFERENCE_NUM_THREADS": engine.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()

    def compute(images: Tensor) -> Tensor:
        outputs = request.infer([images.contiguous().numpy()], share_inputs=True)
        return torch.from_numpy(outputs[0].copy())

    return compute
