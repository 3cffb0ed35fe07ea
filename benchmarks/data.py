"""Images per second and core that reach training: ours against torchvision's `ImageFolder` in a `DataLoader`.

    python benchmarks/data.py [PATH/TO/camvid] [--images 600] [--rounds 3]

The images are JPEGs of about 480x360 pixels: the frames of a folder, or without one made of a photograph, written at
quality 90 into class folders. Both sides train on random windows of 224 pixels of the images scaled to 256, in batches
of 64, with one worker, torch on one thread, and do nothing with a batch but read it. The peer is what torchvision's
documents show (`Resize(256)`, `CenterCrop(256)`, `RandomCrop(224)`, uint8 tensors). Ours is the loader of training
with its crop. Each round makes new loaders with an empty cache and times epochs in the order peer, our first, our
second, peer: our first one decodes, the second reads what was kept. A ratio is against the mean of the two peers around
it; the figure is the median of the rounds. Rates are images for each second of processor time. `draft` is measured by
itself, on photographs of 2,000x1,500 pixels: its gain over exact decoding, and by how much the pixels differ. At last
the steps of two networks are timed with the loader, on all cores: the share of waiting. One line of JSON is added to
benchmarks/results/data.jsonl.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from convsmith.data.augment import augment
from convsmith.data.augmentations import Crop
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.decoding import decode_stack
from convsmith.data.loaders import Loader, training_loader
from convsmith.data.options import DataOptions
from convsmith.data.slots import clear_stored
from convsmith.nets.modules.build import build
from convsmith.nets.zoo import network
from convsmith.training.engine import cores
from pictures import write_file
from record import add_row, make_parser

BATCH = 64


def write_images(folder: Path, frames: list[Path], count: int, size: tuple[int, int]) -> Path:
    """Two class folders of `count` JPEGs of `size` (width, height), or a pixel wider."""
    photo = load_sample_image("china.jpg")
    for i in range(count):
        if frames:
            image = Image.open(frames[i % len(frames)]).convert("RGB")
        else:
            image = Image.fromarray(np.roll(photo, (7 * i, 13 * i), (0, 1)))
        write_file(folder, i, image.resize((size[0] + i % 2, size[1])), i % 2)
    return folder


def per_core(images: int, work: Callable[[], Any]) -> float:
    """Images per second of the time that the processor spent, in this process and those it started and has seen end."""
    start = os.times()
    work()
    end = os.times()
    spent = sum(end[:4]) - sum(start[:4])
    return images / spent


def peer_epoch(folder: Path) -> Callable[[], int]:
    """An epoch of torchvision's loader; it has nothing to keep, so that its second epoch is like its first."""
    transform = v2.Compose([v2.PILToTensor(), v2.Resize(256, antialias=True), v2.CenterCrop(256), v2.RandomCrop(224)])
    loader = DataLoader(ImageFolder(str(folder), transform), BATCH, shuffle=True, drop_last=True, num_workers=1)
    return lambda: sum(len(labels) for _, labels in loader)


def our_epochs(data: Dataset, options: DataOptions) -> tuple[Callable[[], int], Callable[[], int], Loader]:
    """The first epoch, the ones after it, and the loader."""
    loader = training_loader(data.train, data.preprocess, options, batch=BATCH, seed=0)

    def run(epoch: int) -> int:
        found = 0
        for batch in loader.epoch(epoch):
            found += len(augment(batch.images, (Crop(0),), 0, epoch, batch.positions, data.preprocess))
        return found

    return (lambda: run(0)), (lambda: run(1)), loader


def waiting(name: str, options: DataOptions, steps: int) -> float:
    """The share of the time that steps of a network wait for the loader, once the images are kept."""
    data = open_data(options)
    loader = training_loader(data.train, data.preprocess, options, batch=BATCH, seed=0)
    for _ in loader.epoch(0):
        pass
    model = build(network(name), seed=0).train()
    waited = busy = 0.0
    batches = loader.epoch(1)
    next(batches)
    for _ in range(min(steps, loader.steps - 1)):
        start = time.perf_counter()
        batch = next(batches)
        ready = time.perf_counter()
        images = augment(batch.images, (Crop(0),), 0, 1, batch.positions, data.preprocess)
        model(images.float() / 255).sum().backward()
        waited, busy = waited + ready - start, busy + time.perf_counter() - start
    return waited / busy


def draft(folder: Path) -> dict[str, float]:
    """What draft decoding gains on large photographs, and what it changes."""
    data = open_data(DataOptions(source=str(folder), cache="off"))
    chosen = range(len(data.train))
    small = replace(data.preprocess, decoding="draft")
    exact_rates, draft_rates = [], []
    for _ in range(3):
        exact_rates.append(per_core(len(chosen), lambda: decode_stack(data.train, chosen, data.preprocess, 1)))
        draft_rates.append(per_core(len(chosen), lambda: decode_stack(data.train, chosen, small, 1)))
    one, other = (decode_stack(data.train, chosen, record, 1).astype(int) for record in (data.preprocess, small))
    return {
        "times_exact": round(statistics.median(b / a for a, b in zip(exact_rates, draft_rates, strict=True)), 2),
        "mean_difference": round(float(np.abs(one - other).mean()), 3),
        "largest_difference": int(np.abs(one - other).max()),
    }


def main() -> None:
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("frames", type=Path, nargs="?", help="a folder with images, at any depth")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--steps", type=int, default=3, help="steps of each network for the share of waiting")
    values = parser.parse_args()
    found = sorted(p for p in values.frames.rglob("*") if p.suffix in (".png", ".jpg")) if values.frames else []
    torch.set_num_threads(1)
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        os.environ["CONVSMITH_CACHE"] = f"{name}/cache"
        folder = write_images(Path(name) / "photos", found, values.images, (480, 360))
        options = DataOptions(source=str(folder), loader="streaming", workers=1, split="98/1/1", cache="on")
        data = open_data(replace(options, cache="off"))
        count = len(data.train) // BATCH * BATCH
        for i in range(values.rounds):
            clear_stored()
            first, second, _ = our_epochs(data, options)
            before = per_core(values.images // BATCH * BATCH, peer_epoch(folder))
            ours = per_core(count, first), per_core(count, second)
            after = per_core(values.images // BATCH * BATCH, peer_epoch(folder))
            rounds.append({"first": ours[0], "second": ours[1], "peer": (before + after) / 2})
            print(f"round {i + 1}: " + ", ".join(f"{k} {v:,.0f}" for k, v in rounds[-1].items()), flush=True)
        torch.set_num_threads(cores())
        waits = {
            "resnet50 224": waiting("resnet50", options, values.steps),
            "resnet20_cifar 32": waiting("resnet20_cifar", replace(options, size=32), 4 * values.steps),
        }
        drafted = draft(write_images(Path(name) / "large", [], 12, (2000, 1500)))
    row = {
        "first_epoch": round(statistics.median(r["first"] for r in rounds), 1),
        "second_epoch": round(statistics.median(r["second"] for r in rounds), 1),
        "peer": round(statistics.median(r["peer"] for r in rounds), 1),
        "first_times_peer": round(statistics.median(r["first"] / r["peer"] for r in rounds), 2),
        "second_times_peer": round(statistics.median(r["second"] / r["peer"] for r in rounds), 2),
        "waiting": {name: round(share, 4) for name, share in waits.items()},
        "draft": drafted,
        "images": values.images,
        "rounds": values.rounds,
    }
    print(json.dumps(row, indent=1))
    add_row(values.results, "data", row, libraries=("pillow",))


if __name__ == "__main__":
    main()
