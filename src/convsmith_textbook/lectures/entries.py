"""Every entry by name, grouped by topic."""

from convsmith.base.table import Table
from convsmith_textbook.lectures import (
    classic,
    costs,
    gallery,
    googlenet,
    layers,
    learning,
    matrices,
    operations,
    residual,
    results,
    sizes,
)
from convsmith_textbook.lectures.entry import Entry

TOPICS: dict[str, dict[str, Entry]] = {
    "operations, step by step": operations.ENTRIES,
    "kernels on a photograph": gallery.ENTRIES,
    "convolution as a matrix": matrices.ENTRIES,
    "sizes, shapes and receptive fields": sizes.ENTRIES,
    "what blocks cost": costs.ENTRIES,
    "whole networks": {**classic.ENTRIES, **googlenet.ENTRIES, **residual.ENTRIES},
    "how layers behave": layers.ENTRIES,
    "how networks learn, in NumPy": learning.ENTRIES,
    "results of others, quoted": results.ENTRIES,
}
ENTRIES: Table[Entry] = Table("entry", {name: entry for group in TOPICS.values() for name, entry in group.items()})
