"""Training throughput: ours as `convsmith train` runs it against the loops of others, which take turns.

    python benchmarks/train.py [PATH/TO/cifar10] [--only resnet20,timm_files] [--rounds 3] [--steps 10] [--seeds 3]

resnet20        ResNet-20, 32 pixels, batches of 128: a plain PyTorch loop on images that are decoded already
resnet20_files  the same, its images decoded whenever they are read; ours decodes before the first step and keeps them
resnet50        ResNet-50, 224 pixels, batches of 16: torchvision's network in an eager loop on one batch, no loader;
                ours with its loader
resnet50_keras  the same against Keras's ResNet-50 on torch, by `train_on_batch`; it begins with weights of its own
timm_files      timm's training of resnet18, 32 pixels, batches of 128, from JPEG files; a round is an epoch, in which
                ours too opens and decodes every file, though in a run it does so once
timm_arrays     the same from images in memory, augmented one by one there and batch by batch here

Peers are eager, in fp32 (on a GPU with torch's TF32 in convolutions), channels first; `train_peers.py` says how each is
put together. Without a folder the images are squares of a photograph. After some steps to warm up each round times as
many of ours and of the peer; the figure is the median of the rounds' ratios. The share is of what the best matrix
product of 2048 or 4096 reaches in the same number format here, before or after; a training step is 6 operations for
each MAC. Then both take the same few steps from the same weights, in the same order, nothing augmented, at a hundredth
of the rate (at the full one rounding alone drives them apart), for each seed: the last losses are to agree within 2%. A
peer that is not installed is left out with a notice.
One line of JSON for each comparison is added to benchmarks/results/train.jsonl.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import chain, count, islice
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from convsmith.base.calls import split_list
from convsmith.base.durations import Duration
from convsmith.base.errors import unknown
from convsmith.data.augment import augment, normalize
from convsmith.data.augmentations import ColorJitter, Flip, ResizedCrop
from convsmith.data.dataset import open_data
from convsmith.data.loaders import Batch, training_loader
from convsmith.data.options import DataOptions
from convsmith.nets.cost import cost
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import Engine, using
from convsmith.training.job import Job, State, new_state
from convsmith.training.options import EngineOptions, Optimizer, Rule, Schedule
from convsmith.training.rules import set_training
from convsmith.training.step import train_step
from convsmith.work.prepare import Plan, make_job, make_model, prepare
from convsmith.work.work import OPERATIONS
from pictures import reader, squares, write_file
from record import add_row, make_parser
from train_peers import keras, plain, timm, torchvision
from turns import product_flops, seconds, torch_defaults, versus

CLASSES, SMALL_BATCH, LARGE_BATCH = 10, 128, 16
SAME_LOSS = 0.02  # how far the losses may be apart, as a share of the peer's
# ResNet-50 at 224 pixels computes about a hundred times as much for an image.
FEWER_STEPS = 5
LARGE = ("resnet50", "resnet50_keras")  # whose images are of the photograph in any case
CONSTANT = Schedule(kind="constant")


@dataclass(frozen=True)
class Comparison:
    """What of ours runs against which peer; `epochs`: a round is an epoch for which ours opens its images anew.

    Where the peer begins `alike`, with our weights, the losses are compared as well.
    """

    recipe: Recipe
    peer: Callable[[Plan], Any]
    steps: int
    library: str
    epochs: bool = False
    alike: bool = True


@dataclass(frozen=True)
class Ours:
    """Our loop, with nothing but its checkpoints, evaluation and printing left out."""

    plan: Plan
    job: Job
    state: State

    def steps(self, anew: bool) -> Iterator[int]:
        """Steps without end; each gives the number of its images. `anew` decodes at the beginning of each epoch."""
        for epoch in count():
            for batch in self._training(anew).epoch(epoch):
                train_step(self.state, batch, self.job)
                yield len(batch.targets)
            self.state.step = 0

    def _training(self, anew: bool) -> Any:
        if not anew:
            return self.job.training
        # Other examples, though the same files: what is decoded is kept for as long as the examples are.
        data, recipe = self.plan.dataset, self.plan.recipe
        examples = data.train.subset(np.arange(len(data.train)))
        device = self.plan.engine.device
        return training_loader(
            examples, data.preprocess, recipe.data, batch=recipe.batch, seed=recipe.seed, device=device
        )


def ours(plan: Plan) -> Ours:
    """Our loop before its first step."""
    model = plan.engine.place(make_model(plan, []))
    state = new_state(model, plan.recipe.optimizer, plan.engine)
    plan.engine.accelerate(model)
    set_training(model)
    return Ours(plan, make_job(plan), state)


def resnet20(folder: Path, decoded: bool, steps: int) -> Comparison:
    """The recipe for CIFAR-10, its rate held."""
    recipe = RECIPES["resnet20-cifar10-fast"]().edit(data__source=str(folder), data__size=32)
    optimizer = Optimizer(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    recipe = replace(recipe, optimizer=optimizer, schedule=CONSTANT)
    return Comparison(recipe, partial(plain, decoded=decoded), steps, "torchvision")


def resnet50(folder: Path, steps: int) -> Comparison:
    """torchvision's defaults of training."""
    data = DataOptions(source=str(folder), size=224, cache="off")
    recipe = Recipe(
        network="resnet50", data=data, batch=LARGE_BATCH, optimizer=Optimizer(lr=0.1, momentum=0.9), schedule=CONSTANT
    )
    return Comparison(recipe, torchvision, max(2, steps // FEWER_STEPS), "torchvision")


def resnet50_keras(folder: Path, steps: int) -> Comparison:
    """The same recipe."""
    return replace(resnet50(folder, steps), peer=keras, library="keras", alike=False)


def resnet18(folder: Path, files: bool, steps: int) -> Comparison:
    """timm's defaults of training."""
    recipe = Recipe(
        network="resnet18",
        stem="large",
        data=DataOptions(source=str(folder), size=32, cache="off"),
        augment=(ResizedCrop(), Flip(), ColorJitter(hue=0.0)),
        batch=SMALL_BATCH,
        label_smoothing=0.1,
        optimizer=Optimizer(
            lr=0.05, momentum=0.9, nesterov=True, weight_decay=2e-5,
            rules=(Rule("bias|norm", weight_decay=0.0),),
        ),
        schedule=CONSTANT,
    )  # fmt: skip
    return Comparison(recipe, partial(timm, files=folder if files else None), steps, "timm", epochs=files)


COMPARISONS: dict[str, Callable[[Path, Path, int], Comparison]] = {
    "resnet20": lambda cifar, made, steps: resnet20(cifar, True, steps),
    "resnet20_files": lambda cifar, made, steps: resnet20(cifar, False, steps),
    "resnet50": lambda cifar, made, steps: resnet50(made / "large", steps),
    "resnet50_keras": lambda cifar, made, steps: resnet50_keras(made / "large", steps),
    "timm_files": lambda cifar, made, steps: resnet18(made / "small", True, steps),
    "timm_arrays": lambda cifar, made, steps: resnet18(made / "small", False, steps),
}


def write_images(made: Path, cifar: Path | None, steps: int) -> None:
    """JPEG files: as many small ones as the steps of an epoch see, those of CIFAR-10 where it is there, and large."""
    few, many = 2 * CLASSES, steps * SMALL_BATCH
    large = [Image.fromarray(image) for image in squares(4 * LARGE_BATCH, 224)]
    small = [Image.fromarray(image) for image in squares(few + many)]
    labels = [i % CLASSES for i in range(len(small))]
    if cifar is not None:
        examples = open_data(DataOptions(source=str(cifar))).train
        read = reader(examples)
        small = [read(i) for i in range(len(small))]
        labels = [int(label) for label in examples.labels[: len(small)]]
    for i, image in enumerate(large):
        write_file(made / "large" / ("train" if i >= few else "val"), i, image, i % CLASSES)
    held = {labels.index(label) for label in range(CLASSES)}
    for i, (image, label) in enumerate(zip(small, labels, strict=True)):
        write_file(made / "small" / ("val" if i in held else "train"), i, image, label)


def speeds(plan: Plan, comparison: Comparison, rounds: int) -> dict[str, Any]:
    """The rates of both sides, and what share they are of a matrix product's."""
    loop, peer = ours(plan), comparison.peer(plan)
    mine, theirs = loop.steps(comparison.epochs), peer.steps()
    precision, batch = plan.engine.precision, plan.recipe.batch
    steps = loop.job.training.steps if comparison.epochs else comparison.steps
    theirs_in = "fp32" if plan.engine.device == "cpu" else "tf32"
    warm = steps - 1 if comparison.epochs else max(1, steps // 2)

    def turns(number: int) -> tuple[float, float]:
        found = rate(mine, number, plan.engine)
        with torch_defaults():
            return found, rate(theirs, number, plan.engine)

    first = [batch / one for one in turns(1)]
    turns(warm)
    before = {name: product_flops(name, plan.engine) for name in {precision, theirs_in}}
    pairs: list[tuple[float, float]] = []
    for i in range(rounds):
        pairs.append(turns(steps))
        print(f"  round {i + 1}: ours {pairs[-1][0]:,.1f}, peer {pairs[-1][1]:,.1f} images/s", flush=True)
    limit = {name: max(found, product_flops(name, plan.engine)) for name, found in before.items()}
    row = versus(pairs)
    work = OPERATIONS * cost(plan.network).macs  # type: ignore[arg-type]
    return {
        **row,
        "steps": steps,
        "batch": batch,
        "first_seconds": [round(one, 2) for one in first],
        "peer_precision": theirs_in,
        "product_gflops": {name: round(found / 1e9, 1) for name, found in limit.items()},
        "share": round(work * row["ours"] / limit[precision], 3),
        "peer_share": round(work * row["peer"] / limit[theirs_in], 3),
    }


def rate(steps: Iterator[int], number: int, engine: Engine) -> float:
    """Images per second over a number of steps."""
    images: list[int] = []
    taken = seconds(lambda: images.extend(islice(steps, number)), engine)
    return sum(images) / taken


def losses(plan: Plan, comparison: Comparison, seeds: int) -> dict[str, Any]:
    """The last losses of both sides after the same steps; raises nothing where they differ, but says it."""
    gentle = replace(plan.recipe.optimizer, lr=plan.recipe.optimizer.lr / 100)
    recipes = [replace(plan.recipe, seed=seed, optimizer=gentle) for seed in range(seeds)]
    found = [last_losses(replace(plan, recipe=recipe), comparison) for recipe in recipes]
    mine, theirs = zip(*found, strict=True)
    equal = all(abs(one - other) <= SAME_LOSS * other for one, other in found)
    return {
        "loss": round(fmean(mine), 4),
        "peer_loss": round(fmean(theirs), 4),
        "loss_spread": [round(stdev(one), 4) for one in (mine, theirs)] if seeds > 1 else None,
        "loss_difference": round(max(abs(a - b) for a, b in found), 6),
        "loss_equal": equal,
        "seeds": seeds,
    }


def last_losses(plan: Plan, comparison: Comparison) -> tuple[float, float]:
    """Ours and the peer's after `steps` steps from the same weights on the same batches, which are not augmented."""
    loop, peer = ours(plan), comparison.peer(plan)
    job, record = replace(loop.job, augment=(), explosion=0.0), plan.dataset.preprocess
    batches = chain.from_iterable(job.training.epoch(epoch) for epoch in count())
    mine = theirs = 0.0
    for batch in islice(batches, comparison.steps):
        before = loop.state.sums.loss.item()
        train_step(loop.state, batch, job)
        mine = (loop.state.sums.loss.item() - before) / job.training.batch
        theirs = peer.step(normalize(as_it_is(batch, plan), record), batch.targets)
    return mine, theirs


def as_it_is(batch: Batch, plan: Plan) -> Tensor:
    """A batch at its final size."""
    return augment(batch.images, (), 0, 0, batch.positions, plan.dataset.preprocess)


def main() -> None:
    parser = make_parser(__doc__, rounds=3)
    parser.add_argument("folder", type=Path, nargs="?", help="CIFAR-10; without it, squares of a photograph")
    parser.add_argument("--only", type=split_list, default=list(COMPARISONS), help=f"some of {','.join(COMPARISONS)}")
    parser.add_argument("--steps", type=int, default=10, help="of a round; ResNet-50 takes a fifth, at least 2 (10)")
    parser.add_argument("--seeds", type=int, default=3, help="for which losses are compared; 0: leave that out (3)")
    parser.add_argument("--compile", default="auto", choices=("auto", "on", "off"), help="as for `convsmith train`")
    parser.add_argument("--length", default="10ep", help="of the run that compiling would have to pay for (10ep)")
    values = parser.parse_args()
    options, length = EngineOptions(compile=values.compile), Duration.parse(values.length)
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        write_images(made, values.folder, values.steps)
        for what in values.only:
            if what not in COMPARISONS:
                raise unknown("comparison", what, COMPARISONS)
            comparison = COMPARISONS[what](values.folder or made / "small", made, values.steps)
            if find_spec(comparison.library) is None:
                print(f"{what}: left out, {comparison.library} is not installed", flush=True)
                continue
            plan = prepare(replace(comparison.recipe, engine=options, length=length, explosion=0.0))
            print(f"{what}: {plan.recipe.network}, {plan.engine.precision}", flush=True)
            with using(plan.engine):
                row = {"what": what, "network": plan.recipe.network, "size": plan.dataset.preprocess.size[0]}
                row |= {"data": "photograph" if values.folder is None or what in LARGE else "cifar10"}
                row |= speeds(plan, comparison, values.rounds) | {"compiled": plan.engine.compile}
                row |= losses(plan, comparison, values.seeds) if values.seeds and comparison.alike else {}
            add_row(values.results, "train", row, engine=plan.engine, libraries=("timm", "keras"))
            print(f"  ratio {row['ratio']:.2f} ({row['lowest']} to {row['highest']}); {row['share']:.0%} and "
                  f"{row['peer_share']:.0%} of a matrix product", flush=True)  # fmt: skip
            if "loss" in row:
                verdict = "equal within 2% for each seed" if row["loss_equal"] else "NOT equal within 2%"
                print(f"  last losses {row['loss']} and {row['peer_loss']}: {verdict}", flush=True)


if __name__ == "__main__":
    main()
