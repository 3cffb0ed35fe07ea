"""Record the training loss of every step of good and of exploding runs, which hold the stop for an explosion.

    python benchmarks/curves.py cifar10 mnist --out tests/training/curves.json

`cifar10` and `mnist` are folders of these sets; `pets` are 240 enlarged pictures of two of CIFAR-10's classes. A curve
is the loss of each step before its update, with the stop turned off; `finite` says that it did not end in NaN or inf.
A run is good at its recipe's rate, and most explode at a rate many times larger.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image

from convsmith.data.dataset import open_data
from convsmith.data.options import DataOptions
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import using
from convsmith.training.job import new_state
from convsmith.training.rules import set_training
from convsmith.training.step import Exploded, train_step
from convsmith.work.prepare import make_job, make_model, prepare
from pictures import reader, write_file


@dataclass(frozen=True)
class Case:
    """Runs of `recipe` with `edits` for `steps`: several seeds at its own rate, one at each of `factors` times it."""

    data: str
    recipe: str
    steps: int
    factors: tuple[float, ...]
    edits: dict[str, Any]
    seeds: int = 5


# The stem of large images takes a sixteenth of the time of the small ones'.
SMALL = {"stem": "large"}
CASES = {
    "digits": Case("digits", "digits", 120, (30, 100, 1000), {}),
    "digits hinge": Case("digits", "digits", 90, (30, 1000), {"loss__kind": "hinge", "label_smoothing": 0}),
    "digits mixup": Case("digits", "digits", 90, (30, 1000), {"augment": "mixup(1.0)"}),
    "digits sum": Case(
        "digits", "digits", 200, (100, 1000), {"loss__kind": "bce", "loss__reduction": "sum", "lr": 0.01}
    ),
    "digits 40": Case("digits", "digits", 80, (30, 1000), {"data__images": 40}),
    "mnist 500": Case("mnist", "digits", 90, (30, 100, 1000), {"data__images": 500}),
    "mnist 500 large batch": Case("mnist", "lenet5-mnist", 60, (100,), {"data__images": 500}),
    "mnist 500 distorted": Case("mnist", "lenet5-mnist-distorted", 60, (100, 1000), {"data__images": 500}),
    "cifar 2000 fast": Case("cifar10", "resnet20-cifar10-fast", 32, (100,), {"data__images": 2000}),
    "cifar 2000 speed": Case("cifar10", "cifar10-speed-small", 16, (1000,), {"data__images": 2000}, seeds=2),
    "cifar 2000 photos": Case("cifar10", "photos", 24, (100,), {"data__images": 2000, "data__size": 16}),
    "pets 48": Case("pets", "photos", 36, (30, 1000), {**SMALL, "data__size": 48}),
    "pets 48, rate 0.1": Case("pets", "photos", 36, (), {**SMALL, "data__size": 48, "lr": 0.1}),
    "pets 48, no warm-up": Case("pets", "photos", 36, (), {**SMALL, "data__size": 48, "schedule__warmup": "0ep"}),
    "pets 48, batch 8": Case("pets", "photos", 60, (), {**SMALL, "data__size": 48, "batch": 8}),
    "pets 48, batch 2": Case("pets", "photos", 220, (), {**SMALL, "data__size": 48, "batch": 2}, seeds=2),
    "pets 48, 40 images": Case("pets", "photos", 36, (30,), {**SMALL, "data__size": 48, "data__images": 40}),
    "pets 48, 8 images": Case("pets", "photos", 40, (30,), {**SMALL, "data__size": 48, "data__images": 8}),
    "pets 64": Case("pets", "photos", 24, (100,), {**SMALL, "data__size": 64}),
    "pets 96": Case("pets", "photos", 18, (), {"data__size": 96}, seeds=2),
    "pets 224": Case("pets", "photos", 12, (), {"data__size": 224}, seeds=1),
}  # fmt: skip


def recipe_of(case: Case, folders: dict[str, str]) -> Recipe:
    """The case's recipe on one thread, with the stop turned off."""
    recipe = RECIPES[case.recipe]().edit(data__source=folders[case.data])
    edits = {("optimizer__lr" if name == "lr" else name): value for name, value in case.edits.items()}
    return recipe.edit(**edits, engine__threads=1, engine__precision="fp32", engine__compile="off", explosion=0.0)


def losses(recipe: Recipe, steps: int) -> Iterator[float]:
    """The training loss of each step, up to the last that is finite."""
    plan = prepare(recipe)
    job = make_job(plan)
    with using(plan.engine), plan.engine.generator_kept():
        state = new_state(plan.engine.place(make_model(plan, [])), recipe.optimizer, plan.engine)
        set_training(state.model)
        batches = chain.from_iterable(job.training.epoch(epoch) for epoch in count())
        before = 0.0
        for _ in range(steps):
            try:
                train_step(state, next(batches), job)
            except Exploded:
                return
            total = state.sums.loss.item()
            yield (total - before) / job.training.batch
            before = total


def record(case: Case, folders: dict[str, str]) -> dict[str, Any]:
    """A case's curves, and what its stop knows besides."""
    recipe = recipe_of(case, folders)
    job = make_job(prepare(recipe))
    runs = [(1.0, seed) for seed in range(case.seeds)] + [(factor, 0) for factor in case.factors]
    return {
        "guess": round(job.guess_loss, 6),
        "steps_per_epoch": job.span.steps_per_epoch,
        "warmup": job.stop.warmup,
        "runs": [run(recipe, case.steps, factor, seed) for factor, seed in runs],
    }


def run(recipe: Recipe, steps: int, factor: float, seed: int) -> dict[str, Any]:
    """A curve of the recipe at `factor` times its rate."""
    changed = recipe.edit(seed=seed, optimizer__lr=recipe.optimizer.lr * factor)
    curve = [float(f"{loss:.4g}") for loss in losses(changed, steps)]
    return {"rate": factor, "seed": seed, "finite": len(curve) == steps, "losses": curve}


def write_pets(folder: Path, cifar10: str) -> None:
    """Files of 240 cats and dogs of CIFAR-10, enlarged to 224 pixels."""
    examples = open_data(DataOptions(source=cifar10, classes=("cat", "dog"), images=240)).train
    read = reader(examples)
    for i in range(len(examples)):
        write_file(folder, i, read(i).resize((224, 224), Image.Resampling.BICUBIC), int(examples.labels[i]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", help="folder of CIFAR-10")
    parser.add_argument("mnist", help="folder of MNIST")
    parser.add_argument("--out", type=Path, required=True, help="JSON file; cases that it has already stay as they are")
    parser.add_argument("--only", default=";".join(CASES), help="some of the cases, with ; between them")
    values = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        pets = Path(name)
        write_pets(pets, values.cifar10)
        folders = {"digits": "digits", "cifar10": values.cifar10, "mnist": values.mnist, "pets": str(pets)}
        for case in values.only.split(";"):
            curves = json.loads(values.out.read_text()) if values.out.exists() else {}
            if case not in curves:
                curves[case] = record(CASES[case], folders)
                values.out.write_text(json.dumps(curves) + "\n")
                print(case, flush=True)


if __name__ == "__main__":
    main()
