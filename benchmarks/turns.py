"""Two sides that take turns, and the arithmetic that the machine can do in the same minutes."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

SIDES = (2048, 4096)  # of the matrices whose product says what the machine can do


def seconds(work: Callable[[], Any], times: int = 1, device: str = "cpu") -> float:
    """The time of one call, over `times` calls; on a GPU until all is done."""
    wait(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    wait(device)
    return (time.perf_counter() - start) / times


def wait(device: str) -> None:
    """Return when the device has nothing left to do."""
    if device != "cpu":
        torch.cuda.synchronize(device)


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


def product_flops(precision: str, device: str, times: int = 3) -> float:
    """Operations per second of the best of some square matrix products in a number format."""
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    best = 0.0
    for side in SIDES:
        a, b = torch.randn(2, side, side, generator=torch.Generator().manual_seed(0)).to(device, dtype)
        seconds(lambda a=a, b=b: a @ b, device=device)
        taken = min(seconds(lambda a=a, b=b: a @ b, device=device) for _ in range(times))
        best = max(best, 2 * side**3 / taken)
    return best
