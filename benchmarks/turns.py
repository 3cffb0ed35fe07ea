"""Two sides that take turns, and the arithmetic that the machine can do in the same minutes."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import torch

from convsmith.training.engine import Engine

SIDES = (2048, 4096)  # of the matrices whose product says what the machine can do


def seconds(work: Callable[[], Any], engine: Engine, times: int = 1) -> float:
    """The time of one call, over `times` calls, until the device has done all."""
    engine.wait()
    start = time.perf_counter()
    for _ in range(times):
        work()
    engine.wait()
    return (time.perf_counter() - start) / times


@contextlib.contextmanager
def torch_defaults() -> Iterator[None]:
    """Settings of torch as its users have them: on a GPU that computes them faster, convolutions of fp32 in TF32."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    cudnn.benchmark, cudnn.allow_tf32 = False, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32 = before


def versus(pairs: Sequence[tuple[float, float]], digits: int = 1) -> dict[str, Any]:
    """Rates of both sides over the rounds, ours first: medians, and the median, least and largest of their ratios."""
    ratios = [ours / peer for ours, peer in pairs]
    return {
        "ours": round(median(ours for ours, _ in pairs), digits),
        "peer": round(median(peer for _, peer in pairs), digits),
        "ratio": round(median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
        "rounds": len(ratios),
    }


def product_flops(precision: str, engine: Engine, times: int = 3) -> float:
    """Operations per second of the best of some square matrix products in a number format (tf32: of fp32 numbers)."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    products: Any = torch.backends.cuda.matmul
    before, products.allow_tf32 = products.allow_tf32, precision == "tf32"
    best = 0.0
    for side in SIDES:
        a, b = torch.randn(2, side, side, generator=torch.Generator().manual_seed(0)).to(engine.device, dtype)
        seconds(lambda a=a, b=b: a @ b, engine)
        taken = min(seconds(lambda a=a, b=b: a @ b, engine) for _ in range(times))
        best = max(best, 2 * side**3 / taken)
    products.allow_tf32 = before
    return best
