"""The least memory that a network needs against this machine's memory, checked before a tensor is made."""

import dataclasses as dc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from convsmith.base.errors import UsageError
from convsmith.nets.trace import Step
from convsmith.nets.tree import Leaf, Node
from convsmith.report.text import many, size

# The largest network of the zoo, a ResNet with 1,202 layers, has 6,015 nodes. torch takes no larger number as a size.
MOST_NODES, LARGEST_NUMBER, LARGEST_FLOAT = 20_000, 2**31 - 1, 1e38
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory() -> int:
    """The bytes of this machine's memory, or the limit of this process's cgroup if that is lower."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([whole, *(int(text) for path in _CGROUPS if (text := _text(path)).isdecimal())])


def check_memory(name: str, steps: Sequence[Step]) -> None:
    """Raise UsageError if a network's parameters, or its largest activation for one image, exceed the memory.

    `steps` is the trace of the network. A number takes 4 bytes. Other memory is not counted: this is a lower bound.
    """
    have = memory()
    params = sum(step.node.params(step.x.shape) for step in steps if isinstance(step.node, Leaf))
    outputs = [(step.y.shape.channels * step.y.shape.positions, step.path) for step in steps]
    largest, path = max(outputs, default=(0, ""))
    for what, numbers in (
        (f"its {many(params, 'parameter takes', 'parameters take')}", params),
        (f"the {many(largest, 'number')} that {path} gives for one image take", largest),
    ):
        if 4 * numbers > have:
            raise UsageError(f"{name}: {what} {size(4 * numbers)}, and this machine has {size(have)} of memory")


def check_numbers(node: Node, where: str) -> None:
    """Raise UsageError if a field of an operator holds a number that is too large for torch."""
    for field in dc.fields(node):
        value = getattr(node, field.name)
        for number in cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,):
            most = LARGEST_NUMBER if isinstance(number, int) else LARGEST_FLOAT
            if isinstance(number, int | float) and abs(number) > most:
                raise UsageError(f"{where}.{field.name}: expected at most {most:,}, received {number!r:.40}")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
