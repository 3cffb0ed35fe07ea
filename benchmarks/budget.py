"""What a time is worth: a recipe of ours against torchvision's reference recipe, each for as long, on the same files.

    python benchmarks/budget.py PATH/TO/cifar10 [--seconds 600] [--recipe cifar10-speed-small] [--only peer]

Ours is the recipe as `convsmith train` runs it, compiling included; its length is the recipe's own, and the seconds
that it took are written down. The peer is torchvision's ResNet-18 with a 3x3 stem of stride 1 and no pooling, trained
as torchvision's reference script does it by default (SGD 0.1, momentum 0.9, weight decay 1e-4, the rate divided by 10
at one and at two thirds), eager fp32, crops and flips in a DataLoader of 2 workers, for the seconds given. Both hold
the same images back for validation; the test images are read once, at the end. A line of JSON goes to
benchmarks/results.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models, transforms

from convsmith.data.dataset import Dataset as Divided
from convsmith.data.dataset import open_data
from convsmith.data.examples import Examples
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.recipe import Recipe
from convsmith.work.run import train
from pictures import Transformed, reader
from record import add_row, make_parser

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


def images(examples: Examples, augment: bool) -> Transformed:
    """Examples as a torchvision user reads them: one image at a time through transforms."""
    steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if augment else []
    transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return Transformed(reader(examples), examples.labels, transform)


def peer(data: Divided, seconds: float) -> dict[str, float]:
    """Train torchvision's network for that long, then count on the test images."""
    torch.manual_seed(0)
    model = models.resnet18(num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(images(data.train, True), batch_size=128, shuffle=True, num_workers=2, drop_last=True)
    start, seen = time.perf_counter(), 0
    model.train()
    while (spent := time.perf_counter() - start) < seconds:
        for batch, labels in loader:
            spent = time.perf_counter() - start
            if spent >= seconds:
                break
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * 0.1 ** int(3 * spent / seconds)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(batch), labels).backward()
            optimizer.step()
            seen += len(labels)
    accuracy = float("nan") if data.test is None else _accuracy(model, data.test)
    return {"accuracy": accuracy, "seconds": spent, "images": seen}


@torch.no_grad()
def _accuracy(model: nn.Module, examples: Examples) -> float:
    model.eval()
    loader = DataLoader(images(examples, False), batch_size=256, num_workers=2)
    return sum(int((model(batch).argmax(1) == labels).sum()) for batch, labels in loader) / len(examples)


def ours(recipe: Recipe) -> dict[str, float]:
    """The recipe's test accuracy, with its views where it has some, and the seconds of its training."""
    with tempfile.TemporaryDirectory() as folder:
        result = train(recipe, out=Path(folder) / "run", quiet=True).result
    seen = result.get("views", result)["metrics"]["test"]["accuracy"]
    plain = result["metrics"]["test"]["accuracy"]
    images = result["steps"] * recipe.batch
    return {"accuracy": seen, "one_view": plain, "seconds": result["seconds"], "images": images}


def main() -> None:
    parser = make_parser(__doc__, rounds=None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--recipe", default="cifar10-speed-small")
    parser.add_argument("--only", choices=("ours", "peer"))
    values = parser.parse_args()
    recipe = RECIPES[values.recipe]().edit(data__source=str(values.folder))
    row: dict[str, Any] = {"recipe": recipe.name, "data": "cifar10"}
    if values.only != "peer":
        row["ours"] = ours(recipe)
        print(f"ours: {row['ours']}", flush=True)
    if values.only != "ours":
        row["peer"] = peer(open_data(recipe.data), values.seconds)
        print(f"peer: {row['peer']}", flush=True)
    add_row(values.results, "budget", row)


if __name__ == "__main__":
    main()
