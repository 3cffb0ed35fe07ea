"""Record the training loss of every step of good and of exploding runs, which hold the stop for an explosion.

    python benchmarks/curves.py cifar10 mnist pets --out tests/training/curves.json

`cifar10` and `mnist` are folders of these sets, `pets` one of 240 pictures of two classes. A curve is the mean loss of
each step before its update, with the stop turned off; one that ends early ended in a loss that is not finite. A run is
good at its recipe's rate, and exploding at a rate many times larger.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.prepare import make_job, make_model, prepare
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import using
from convsmith.training.job import new_state
from convsmith.training.rules import set_training
from convsmith.training.step import Exploded, train_step

GOOD_SEEDS, BAD_SEEDS = 5, 1


@dataclass(frozen=True)
class Case:
    """Runs of `recipe` with `edits` for `steps`: several seeds at its own rate, one at each of `factors` times it."""

    data: str
    recipe: str
    steps: int
    factors: tuple[float, ...]
    edits: dict[str, Any]
    seeds: int = GOOD_SEEDS


# The stem of large images takes a sixteenth of the time of the small ones'.
SMALL = {"stem": "large"}
CASES = {
    "digits": Case("digits", "digits", 120, (30, 100, 1000), {}),
    "digits hinge": Case("digits", "digits", 90, (30, 1000), {"loss__kind": "hinge", "label_smoothing": 0}),
    "digits mixup": Case("digits", "digits", 90, (30, 1000), {"augment": "mixup(1.0)"}),
    "digits sum": Case("digits", "digits", 90, (100,), {"loss__kind": "bce", "loss__reduction": "sum", "lr": 0.01}),
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
    "pets 48, 40 images": Case("pets", "photos", 36, (30,), {**SMALL, "data__size": 48, "data__images": 40}),
    "pets 48, 8 images": Case("pets", "photos", 40, (30,), {**SMALL, "data__size": 48, "data__images": 8}),
    "pets 64": Case("pets", "photos", 24, (100,), {**SMALL, "data__size": 64}),
    "pets 96": Case("pets", "photos", 18, (), {"data__size": 96}, seeds=2),
    "pets 224": Case("pets", "photos", 12, (), {"data__size": 224}, seeds=1),
}  # fmt: skip


def recipe_of(case: Case, folders: dict[str, str]) -> Recipe:
    """The case's recipe, as long as it says in `--schedule`'s eyes, on one thread."""
    recipe = RECIPES[case.recipe]().edit(data__source=folders[case.data])
    edits = {("optimiser__lr" if name == "lr" else name): value for name, value in case.edits.items()}
    return recipe.edit(**edits, engine__threads=1, engine__precision="fp32", engine__compile="off", explosion=0.0)


def losses(recipe: Recipe, steps: int) -> Iterator[float]:
    """The training loss of each step, up to the last that is finite."""
    plan = prepare(recipe)
    job = make_job(plan)
    with using(plan.engine), plan.engine.generator_kept():
        state = new_state(plan.engine.place(make_model(plan, [])), recipe.optimiser, plan.engine)
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
    span = job.span
    runs = [(1, seed) for seed in range(case.seeds)] + [(f, seed) for f in case.factors for seed in range(BAD_SEEDS)]
    return {
        "guess": round(job.guess_loss, 6),
        "steps_per_epoch": span.steps_per_epoch,
        "warmup": recipe.schedule.warmup.steps(span.steps_per_epoch, span.total_steps),
        "runs": [
            {
                "rate": factor,
                "seed": seed,
                "losses": [
                    float(f"{loss:.4g}")
                    for loss in losses(recipe.edit(seed=seed, optimiser__lr=recipe.optimiser.lr * factor), case.steps)
                ],
            }
            for factor, seed in runs
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("cifar10", "mnist", "pets"):
        parser.add_argument(name, type=str)
    parser.add_argument("--out", type=Path, required=True, help="JSON file; cases that it has already stay")
    parser.add_argument("--only", default=",".join(CASES), help="some of the cases, by ';'")
    values = parser.parse_args()
    folders = {"digits": "digits", "cifar10": values.cifar10, "mnist": values.mnist, "pets": values.pets}
    torch.set_num_threads(1)
    for name in values.only.split(";") if ";" in values.only or values.only in CASES else CASES:
        done = json.loads(values.out.read_text()) if values.out.exists() else {}
        if name in done:
            continue
        done[name] = record(CASES[name], folders)
        values.out.write_text(json.dumps(done))
        print(name, flush=True)


if __name__ == "__main__":
    main()
