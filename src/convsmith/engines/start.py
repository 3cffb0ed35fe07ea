"""Starting engines: each is compared with the network as it is before anything uses it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from torch import Tensor

from convsmith.engines.check import Agreement, agreement
from convsmith.engines.eager import as_it_is
from convsmith.engines.inference import Inference
from convsmith.engines.names import check_engine
from convsmith.engines.runner import CannotRun, Compute, Refused, Runner
from convsmith.report.text import many
from convsmith.training.engine import Engine
from convsmith.training.memory import is_out_of_memory

PLAIN = "as it is"
# Engines that take any number of images, and those that compute in fp32 whatever the machine has.
_ANY_NUMBER, _ONLY_FP32 = ("eager", "onnxruntime"), ("eager", "onnxruntime")

Start = Callable[[Inference, Engine, int], Compute]


@dataclass(frozen=True)
class Reference:
    """Images with what the network itself says of them."""

    images: Tensor
    outputs: Tensor


def plain(model: Inference, engine: Engine, batch: int) -> Runner:
    """The network as it is, in fp32."""
    return Runner(PLAIN, "fp32", batch, fixed=False, compute=as_it_is(model, engine))


def reference(model: Inference, engine: Engine, batch: int, images: Tensor) -> Reference:
    """What the network as it is says of the images, float32 (N, C, ...)."""
    return Reference(images, plain(model, engine, batch)(images))


def start(name: str, model: Inference, engine: Engine, batch: int, known: Reference) -> tuple[Runner, Agreement]:
    """The network on the engine called `name`, ready for batches of `batch`, and how it agrees with what is known.

    Raises UsageError for an engine that this machine lacks, and `Refused` for one that cannot run the network or whose
    predictions are others.
    """
    runner, found = launch(name, model, engine, batch, known)
    if found.objection:
        raise Refused(refusal(name, found))
    return runner, found


def refusal(name: str, found: Agreement) -> str:
    """What is said of an engine that does not agree with the network as it is."""
    return f"engine {name}: refused on {many(found.images, 'image')}: {found.objection}"


def launch(name: str, model: Inference, engine: Engine, batch: int, known: Reference) -> tuple[Runner, Agreement]:
    """`start` that leaves it to the caller what to make of the agreement; `CannotRun` for what is no want of memory."""
    check_engine(name, engine.device)
    begin: Start = getattr(import_module(f"convsmith.engines.{name}"), name)
    before = time.perf_counter()
    precision = "fp32" if name in _ONLY_FP32 else engine.precision
    try:
        compute = begin(model, replace(engine, precision=precision), batch)
        runner = Runner(name, precision, batch, name not in _ANY_NUMBER, compute)
        outputs = runner(known.images)
    except Exception as error:  # exporters and compilers of others may raise anything
        if is_out_of_memory(error):
            raise Refused(
                f"engine {name}: {many(batch, 'image')} at a time take{'s' if batch == 1 else ''} more memory than "
                "there is"
            ) from None
        reason = " ".join(str(error).split())
        raise CannotRun(
            f"engine {name}: it cannot run {model.network.name} ({type(error).__name__}: {reason:.200})"
        ) from None
    runner = replace(runner, start_seconds=time.perf_counter() - before)
    return runner, agreement(model, known.outputs, outputs, precision)
