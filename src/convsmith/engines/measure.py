"""How fast runners are, side by side: they take turns, so that what else the machine does meets all of them."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor

from convsmith.engines.runner import Runner

ROUNDS = 3


def rounds(runners: Sequence[Runner], images: Tensor, count: int = ROUNDS) -> Iterator[list[float]]:
    """Seconds of each runner for `images`, round by round; each has computed once before."""
    for runner in runners:
        runner(images)
    for _ in range(count):
        yield [seconds(lambda runner=runner: runner(images)) for runner in runners]


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes. Runners give their outputs on the processor, so nothing is left to wait for."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def filled(images: Tensor, count: int) -> Tensor:
    """`count` images, the given ones again and again."""
    return images[np.resize(np.arange(len(images)), count)]
