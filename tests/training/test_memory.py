"""A step that needs more memory than there is."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convsmith.training.memory import OutOfMemory, memory_explained

JOB: Any = SimpleNamespace(training=SimpleNamespace(batch=128), engine=SimpleNamespace(device="cpu"))


def test_what_the_allocator_refuses_says_how_to_mend_it():
    said = "steps of 128 images do not fit into the memory of cpu. Mend with --edit recompute"
    with pytest.raises(OutOfMemory, match=re.escape(said)), memory_explained(JOB):
        torch.empty(2**55)
    with pytest.raises(OutOfMemory, match=r"--optimizer\.accumulate"), memory_explained(JOB):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="size mismatch"), memory_explained(JOB):
        raise RuntimeError("size mismatch")
