"""Where the time of a training step goes, and how fast its convolutions are: what is left to gain outside them.

    python benchmarks/profile_step.py [--networks resnet50:16,resnet20_cifar:128,resnet18:128:32] [--compile on]

Each network is NAME:BATCH or NAME:BATCH:PIXELS. The step is our engine's on one batch, without loader and
augmentation. torch's profiler says how long each operator works; operators are summed by kind, without the operators
that they call. `convolution_gflops` is 6 operations for each MAC of the convolutions over the time that they take,
`product_gflops` what the best matrix product of 2048 or 4096 reaches in the same number format, before or after: no
step can be a larger share of the latter than the former is. Lines of JSON go to benchmarks/results/profile.jsonl.
"""

from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bare_step import bare_step
from convsmith.base.calls import split_list
from convsmith.data.preprocess import ImageInput
from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.zoo import edit, network
from convsmith.training.engine import Engine, resolve, using
from convsmith.training.options import EngineOptions
from convsmith.work.work import OPERATIONS
from record import add_row, make_parser
from turns import product_flops, seconds

NETWORKS = "resnet50:16,resnet20_cifar:128,resnet18:128:32"
# An operator is of the first kind that its name has a word of.
KINDS = {
    "convolutions": ("convolution", "conv2d"),
    "batch norm": ("batch_norm",),
    "optimizer": ("sgd", "foreach", "optimizer"),
    "linear layer and loss": ("addmm", "aten::mm", "softmax", "nll_loss"),
    "activations": ("relu", "clamp_min", "threshold"),
    "sums": ("aten::add",),
    "pooling": ("pool", "mean"),
    "copies": ("copy", "clone", "contiguous", "fill", "zero", "empty", "resize"),
    "fused kernels": ("compiled", "cpp_fused", "triton"),
}


def kind_of(operator: str) -> str:
    """The kind that an operator of torch is of."""
    lower = operator.lower()
    return next((kind for kind, words in KINDS.items() if any(word in lower for word in words)), "the rest")


def read_case(text: str) -> tuple[Network, int]:
    """A network at its size, or at PIXELS with ten classes, and the batch."""
    name, batch, *size = text.split(":")
    tree = network(name)
    for pixels in size:
        tree = edit(edit(tree, f"size={pixels}"), "classes=10")
    return tree, int(batch)


def measure(tree: Network, batch: int, engine: Engine, steps: int) -> dict[str, Any]:
    """The kinds' shares of the time in which operators work, and the speed of the convolutions."""
    channels, size = tree.input.channels, tree.input.spatial
    images = torch.randint(0, 256, (batch, *tree.input), dtype=torch.uint8).to(engine.device)
    record = ImageInput(size=(size[0], size[1]), mean=(0.5,) * channels, std=(0.25,) * channels)
    step = bare_step(engine, tree, images, record)
    for _ in range(2):
        step()
    before = product_flops(engine.precision, engine)
    plain = seconds(step, engine, steps)
    gpu = engine.device != "cpu"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as found:
        seconds(step, engine, steps)
    limit = max(before, product_flops(engine.precision, engine))
    spent: Counter[str] = Counter()
    for event in found.key_averages():
        spent[kind_of(event.key)] += (event.self_device_time_total if gpu else event.self_cpu_time_total) / 1e6 / steps
    total = sum(spent.values())
    work = OPERATIONS * sum(row.macs for row in cost(tree).layers if row.op == "conv") * batch
    return {
        "seconds": round(plain, 4),
        "profiled_seconds": round(total, 4),
        "parts": {kind: round(taken / total, 4) for kind, taken in spent.most_common()},
        "convolution_gflops": round(work / spent["convolutions"] / 1e9, 1),
        "product_gflops": round(limit / 1e9, 1),
        "share": round(OPERATIONS * cost(tree).macs * batch / plain / limit, 3),
        "convolution_share": round(work / spent["convolutions"] / limit, 3),
    }


def main() -> None:
    parser = make_parser(__doc__, rounds=None)
    parser.add_argument("--networks", type=split_list, default=split_list(NETWORKS), help=f"({NETWORKS})")
    parser.add_argument("--steps", type=int, default=5, help="that are profiled (5)")
    parser.add_argument("--compile", default="off", choices=("on", "off"), help="(off)")
    values = parser.parse_args()
    engine = resolve(EngineOptions(compile=values.compile))
    with using(engine):
        for text in values.networks:
            tree, batch = read_case(text)
            row = {"network": tree.name, "batch": batch, "size": tree.input.spatial[0], "compiled": engine.compile}
            row |= measure(tree, batch, engine, values.steps)
            add_row(values.results, "profile", row, engine=engine)
            parts = ", ".join(f"{kind} {share:.0%}" for kind, share in row["parts"].items() if share >= 0.005)
            print(f"{tree.name}, batch {batch}: {row['seconds'] * 1e3:,.0f} ms a step, {row['share']:.0%} of a matrix "
                  f"product; convolutions alone {row['convolution_share']:.0%}; {parts}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
