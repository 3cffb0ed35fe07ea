"""What a step that does not fit into memory says."""

from collections.abc import Generator
from contextlib import contextmanager

import torch

from convsmith.base.errors import ConvsmithError
from convsmith.report.text import many
from convsmith.training.job import Job


class OutOfMemory(ConvsmithError, MemoryError):
    """A training step needs more memory than the device has; what was written before it stays."""


@contextmanager
def memory_explained(job: Job) -> Generator[None]:
    """Turns torch's refusal to allocate into `OutOfMemory`, which says how to need less."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"steps of {many(job.training.batch, 'image')} do not fit into the memory of {job.engine.device}. "
            "Mend with "
            "--edit recompute (keeps less for the gradient, the same results), with a smaller --batch, or with "
            "--optimizer.accumulate N (as many images in a step, N times fewer at once)"
        ) from None


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch's allocator raised it; that of the processor has no class for it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
