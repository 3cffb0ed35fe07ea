"""Training throughput against a plain PyTorch loop: the same network on the same CIFAR-10 files, interleaved.

    python benchmarks/train_cpu.py PATH/TO/cifar10 [--steps 60] [--rounds 5]

The peer is what a tutorial writes: a `Dataset` that decodes the stored image, torchvision transforms, a `DataLoader`
with 2 workers, eager fp32 in NCHW. Ours is the recipe `resnet20-cifar10-fast` as `convsmith train` runs it. Each round
times both for as many steps, loading included, after their workers and kernels are warm; the figure is the median of
the rounds' ratios. One line of JSON is added to benchmarks/results/train_cpu.jsonl.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from convsmith.nets.build import build
from convsmith.nets.zoo import network
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.prepare import environment, make_job, make_model, prepare
from convsmith.training.engine import cpu_model, resolve, using
from convsmith.training.job import new_state
from convsmith.training.optimise import make_optimiser
from convsmith.training.options import EngineOptions
from convsmith.training.step import train_step

RESULTS = Path(__file__).parent / "results" / "train_cpu.jsonl"
WARM_STEPS = 20


class StoredImages(Dataset[Any]):
    """The images of a Parquet file, decoded one by one."""

    def __init__(self, file: Path, transform: transforms.Compose):
        import pyarrow.parquet as parquet

        table = parquet.read_table(file)
        self.data = [row["bytes"] for row in table.column("image").to_pylist()]
        self.labels = table.column("label").to_pylist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.open(io.BytesIO(self.data[i])).convert("RGB")), self.labels[i]


def plain_steps(folder: Path) -> Iterator[int]:
    """Steps of the plain loop, without end; each gives the number of its images."""
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
        ]
    )
    data = StoredImages(folder / "train.parquet", transform)
    loader = DataLoader(data, batch_size=128, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    model = build(network("resnet20_cifar"), seed=0).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loss_function = nn.CrossEntropyLoss(label_smoothing=0.1)
    while True:
        for images, labels in loader:
            optimiser.zero_grad()
            loss = loss_function(model(images), labels)
            loss.backward()
            optimiser.step()
            yield len(labels)


def our_steps(folder: Path) -> Iterator[int]:
    """Steps of our loop, without end."""
    plan = prepare(RECIPES["resnet20-cifar10-fast"]().edit(data__source=str(folder)))
    job = make_job(plan)
    model = plan.engine.place(make_model(plan, []))
    state = new_state(model, make_optimiser(model, plan.recipe.optimiser), plan.engine)
    model.train()
    epoch = 0
    while True:
        for batch in job.training.epoch(epoch):
            train_step(state, batch, job)
            yield len(batch.targets)
        epoch += 1
        state.step = 0


def rate(steps: Iterator[int], count: int) -> float:
    """Images per second over `count` steps."""
    start = time.perf_counter()
    images = sum(next(steps) for _ in range(count))
    return images / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    values = parser.parse_args()
    engine = resolve(EngineOptions())
    pairs: list[tuple[float, float]] = []
    with using(engine):
        ours, plain = our_steps(values.folder), plain_steps(values.folder)
        rate(ours, WARM_STEPS), rate(plain, WARM_STEPS)
        for i in range(values.rounds):
            pairs.append((rate(ours, values.steps), rate(plain, values.steps)))
            print(f"round {i + 1}: ours {pairs[-1][0]:,.0f}, plain {pairs[-1][1]:,.0f} images/s", flush=True)
    ratio = statistics.median(a / b for a, b in pairs)
    row = {
        "benchmark": "train_cpu",
        "network": "resnet20_cifar",
        "ours": round(statistics.median(a for a, _ in pairs), 1),
        "plain": round(statistics.median(b for _, b in pairs), 1),
        "ratio": round(ratio, 3),
        "rounds": values.rounds,
        "steps": values.steps,
        "cpu": cpu_model(),
        "threads": engine.threads,
        **{k: v for k, v in environment().items() if k in ("torch", "torchvision", "python", "time")},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(f"median ratio {ratio:.2f} (ours / plain) over {values.rounds} rounds")


if __name__ == "__main__":
    main()
