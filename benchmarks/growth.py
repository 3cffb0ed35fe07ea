"""Time for an image and memory of a training step, against batch size, depth, width and resolution.

    python benchmarks/growth.py [--only depth,width] [--steps 3] [--edit recompute] [--plot growth.svg]

batch       ResNet-20 at 32 pixels, batches of 8 to 512
depth       ResNet-20 to ResNet-1202 at 32 pixels, batches of 16
width       WRN-16 of 1 to 8 times the width of a ResNet, at 32 pixels, batches of 16
resolution  ResNet-20 at 16 to 128 pixels, batches of 16
recompute   ResNet-1202 at 32 pixels, batches of 128: activations kept, and computed again for the gradient

Each point is a process of its own, on the engine of `convsmith train` and not compiled: a step to warm up, then the
median of the steps. Memory is what the process, libraries loaded, grew by from before the network was built to its
peak, on a GPU what torch had allocated; a point that needs more than is free is written down as failed. The slope of a
straight line through the logarithms says how something grows: 1 is in proportion. Beside time and memory stand the
slopes of what they should follow, the MACs of an image and the activations of a batch. Lines of JSON, one for each
point and one for each axis, are added to benchmarks/results/growth.jsonl, and the axes are drawn.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from bare_step import bare_step
from convsmith.base.calls import split_list
from convsmith.base.errors import unknown
from convsmith.data.preprocess import ImageInput
from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.zoo import edit, network
from convsmith.training.engine import Engine, resolve, using
from convsmith.training.options import EngineOptions
from growth_plot import growth_svg
from record import RESULTS, add_row, make_parser
from turns import seconds

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.svg"
DEPTHS = (20, 32, 44, 56, 110, 1202)
# What grows, its slope, and that of what it should follow.
FOLLOWS = (("time", "time_slope", "macs_slope"), ("memory", "memory_slope", "activations_slope"))
OFF = 0.1  # how far a slope may be above what it should follow before that is said
ENOUGH = 0.9  # of the memory that is free: beyond, the machine would end some process


@dataclass(frozen=True)
class Point:
    """A training step: which network, edited how, on how many images of which side; `value` is its place."""

    value: float
    network: str
    batch: int = 16
    side: int = 32
    edits: tuple[str, ...] = ()

    def tree(self) -> Network:
        """The network for images of that side."""
        tree = network(self.network)
        for text in (*self.edits, *([] if max(tree.input.spatial) == self.side else [f"size({self.side})"])):
            tree = edit(tree, text)
        return tree


AXES: dict[str, tuple[Point, ...]] = {
    "batch": tuple(Point(n, "resnet20_cifar", batch=n) for n in (8, 16, 32, 64, 128, 256, 512)),
    "depth": tuple(Point(n, f"resnet{n}_cifar") for n in DEPTHS),
    "width": tuple(Point(n, "wrn16_8_cifar", edits=(f"widen({n / 8})",)) for n in (1, 2, 4, 8)),
    "resolution": tuple(Point(n, "resnet20_cifar", side=n) for n in (16, 32, 64, 128)),
    "recompute": (Point(0, "resnet1202_cifar", batch=128), Point(1, "resnet1202_cifar", 128, edits=("recompute",))),
}
# What is a matter of having it or not, and has no slope.
SWITCHES = ("recompute",)


def measure(point: Point, engine: Engine, steps: int) -> dict[str, Any]:
    """The numbers of a point, in this process."""
    gpu = engine.device != "cpu"
    if not gpu:
        limit = int(ENOUGH * _kibibytes("/proc/meminfo", "MemAvailable") * 1024)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    tree = point.tree()
    with using(engine):
        # What a first step loads is not a memory of the network.
        _step(engine, Point(0, "resnet20_cifar", batch=2), network("resnet20_cifar"))()
        before = torch.cuda.memory_allocated() / 1024 if gpu else _kibibytes("/proc/self/status", "VmRSS")
        step = _step(engine, point, tree)
        seconds(step, engine)
        times = [seconds(step, engine) for _ in range(steps)]
    peak = torch.cuda.max_memory_allocated() / 1024 if gpu else _kibibytes("/proc/self/status", "VmHWM")
    each = 1000 * median(times) / point.batch
    return {"milliseconds": round(each, 4), "mebibytes": round((peak - before) / 1024, 1)}


def _step(engine: Engine, point: Point, tree: Network) -> Callable[[], None]:
    shape = (point.batch, *tree.input)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    record = ImageInput(size=(point.side, point.side), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return bare_step(engine, tree, images.to(engine.device), record)


def _kibibytes(file: str, name: str) -> int:
    lines = Path(file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def in_process(point: Point, steps: int, device: str) -> dict[str, Any]:
    """The numbers of a point from a process of its own; `failed` says what it ended with instead."""
    words = [sys.executable, __file__, "--point", json.dumps(asdict(point)), "--steps", str(steps), "--device", device]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return {"failed": "not enough memory" if "memory" in last.lower() else last[:200]}


def slope(values: Sequence[float], found: Sequence[float]) -> float:
    """The slope of the straight line nearest to the logarithms (least squares)."""
    x, y = [math.log(v) for v in values], [math.log(v) for v in found]
    center, level = fmean(x), fmean(y)
    return sum((a - center) * (b - level) for a, b in zip(x, y, strict=True)) / sum((a - center) ** 2 for a in x)


def axis_row(axis: str, what: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The points along an axis that did not fail, and their slopes."""
    good = [row for row in rows if "failed" not in row]
    values = [row["value"] for row in good]
    names = ("milliseconds", "mebibytes", "macs", "activations")
    columns = {name: [row[name] for row in good] for name in names}
    row: dict[str, Any] = {"what": what, "axis": axis, "values": values, **columns}
    if len(good) > 1:
        time, memory, macs, activations = (round(slope(values, columns[name]), 2) for name in names)
        row |= {"time_slope": time, "macs_slope": macs, "memory_slope": memory, "activations_slope": activations}
    return row


def told(row: dict[str, Any]) -> str:
    """An axis in a line: its slopes, and whether something grows faster than it should."""
    if "time_slope" not in row:
        return f"{row['what']}: fewer than two points, no slope"
    over = [name for name, found, wanted in FOLLOWS if row[found] > row[wanted] + OFF]
    judged = f"; faster than in proportion: {', '.join(over)}" if over else ""
    return (
        f"{row['what']}: slope of time {row['time_slope']} (MACs {row['macs_slope']}), of memory "
        f"{row['memory_slope']} (activations {row['activations_slope']}){judged}"
    )


def main() -> None:
    parser = make_parser(__doc__, rounds=None)
    parser.add_argument("--only", type=split_list, default=list(AXES), help=f"some of {','.join(AXES)}")
    parser.add_argument("--steps", type=int, default=3, help="whose median is taken (3)")
    parser.add_argument("--points", type=int, help="only the first so many of each axis")
    parser.add_argument("--edit", help="an edit that every network gets: recompute")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--plot", type=Path, help="the picture (docs/images, or beside the results elsewhere)")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    values = parser.parse_args()
    engine = resolve(EngineOptions(device=values.device, compile="off"))
    if values.point is not None:
        print(json.dumps(measure(Point(**values.point), engine, values.steps)))
        return
    drawn: list[dict[str, Any]] = []
    for axis in values.only:
        if axis not in AXES:
            raise unknown("axis", axis, AXES)
        rows: list[dict[str, Any]] = []
        added = (values.edit,) if values.edit and axis not in SWITCHES else ()
        for base in AXES[axis][: values.points]:
            point = Point(**{**asdict(base), "edits": (*base.edits, *added)})
            counted = cost(point.tree())
            row = {"what": " ".join([axis, f"{point.value:g}", *added]), "axis": axis, **asdict(point)}
            row |= {"macs": counted.macs, "activations": counted.activations * point.batch}
            row |= in_process(point, values.steps, engine.device)
            add_row(values.results, "growth", row, engine=engine)
            rows.append(row)
            found = row.get("failed") or f"{row['milliseconds']:.3g} ms an image, {row['mebibytes']:,.0f} MiB"
            edits = f" {','.join(point.edits)}" if point.edits else ""
            print(f"{row['what']:16} {point.network}{edits}, {point.batch} of {point.side}: {found}", flush=True)
        if axis in SWITCHES:
            continue
        drawn.append(axis_row(axis, " ".join([axis, *added]), rows))
        add_row(values.results, "growth", drawn[-1], engine=engine)
        print(told(drawn[-1]), flush=True)
    picture = values.plot or (PICTURE if values.results == RESULTS else values.results / "growth.svg")
    if any(len(row["values"]) > 1 for row in drawn):
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(growth_svg([row for row in drawn if len(row["values"]) > 1], engine.cpu))


if __name__ == "__main__":
    main()
