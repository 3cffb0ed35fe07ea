"""A network that an engine has made ready to run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convsmith.base.errors import CheckFailed

Compute = Callable[[Tensor], Tensor]


class Refused(CheckFailed):
    """An engine gives other predictions, or cannot run a network now; the message says why."""


class CannotRun(Refused):
    """An engine cannot run a network at all, whatever its weights are and whatever memory is free."""


@dataclass(frozen=True)
class Runner:
    """Images, float32 (N, C, ...) on the processor, to outputs, float32 (N, classes) there.

    Where `fixed`, `compute` takes `batch` images and nothing else.
    """

    engine: str
    precision: str
    batch: int
    fixed: bool
    compute: Compute
    start_seconds: float = 0.0

    def __call__(self, images: Tensor) -> Tensor:
        """The outputs for any number of images, `batch` at a time; missing ones are made up by repeating the last."""
        parts = [self._part(part) for part in images.split(self.batch)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _part(self, images: Tensor) -> Tensor:
        count = len(images)
        if self.fixed and count < self.batch:
            images = torch.cat([images, images[-1:].expand(self.batch - count, *images.shape[1:])])
        return self.compute(images)[:count]


def chosen(found: Sequence[Runner], name: str) -> Runner:
    """The runner of the engine called `name`."""
    return next(runner for runner in found if runner.engine == name)
