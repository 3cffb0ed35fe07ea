"""Experiments with few images: what keeps a network from learning them by heart."""

from dataclasses import replace
from typing import Any

from convsmith.base.durations import Duration
from convsmith.data import augmentations as steps
from convsmith.data.options import DataOptions
from convsmith.recipes.recipe import Recipe
from convsmith.series.experiment import Experiment
from convsmith.series.member import Member
from convsmith.training.options import EarlyStopping, EngineOptions, Optimizer, Schedule

LECTURE = "the lecture on regularization and architectures"
BATCHES = (4, 8, 16, 32, 64, 128, 256, 512)


def few_digits() -> Recipe:
    """LeNet-5 with ReLU and max pooling on 1,000 images of MNIST, until it knows them by heart; no regularization.

    3,000 of the other images validate. The rate is constant up to a drop at the end, so that early stopping can act.
    """
    return Recipe(
        name="few-digits",
        network="lenet5",
        edits=("act=relu", "pool=max"),
        init="he_in",
        data=DataOptions(source="mnist", size=32, images=1000, split="75/5/20"),
        batch=50,
        length=Duration(40, "ep"),
        optimizer=Optimizer(lr=0.02, momentum=0.9, weight_decay=0.0),
        schedule=Schedule(kind="step", warmup=Duration(2, "ep"), at=(Duration(80, "%"),)),
        explosion=0.0,  # without a norm the first losses may be far above that of a random guess
        evaluate_every=Duration(4, "ep"),
        checkpoint_every=Duration(20, "ep"),
        engine=EngineOptions(precision="fp32", threads=1),
    )


def regularizers() -> tuple[Member, ...]:
    """Each regularizer alone, at the strength that its paper or common use gives; none is tuned."""
    base = few_digits()

    def edited(*edits: str) -> Recipe:
        return replace(base, edits=(*base.edits, *edits))

    def augmented(step: Any) -> Recipe:
        return replace(base, augment=(step,))

    recipes = {
        "none": base,
        "weight decay": replace(base, optimizer=replace(base.optimizer, weight_decay=5e-3)),
        "dropout": edited("dropout=0.5"),
        "DropConnect": edited("dropconnect=0.5"),
        "fractional max pooling": edited("pool=fractional"),
        "batch norm": edited("norm=batch"),
        "linear bottleneck": edited("linear_bottleneck(20)"),
        "label smoothing": replace(base, label_smoothing=0.1),
        "early stopping": replace(base, early_stopping=EarlyStopping(patience=Duration(12, "ep")), select="best"),
        "noise": augmented(steps.Noise(0.1)),
        "cutout": augmented(steps.Cutout(12)),
        "mixup": augmented(steps.Mixup(0.4)),
        "crops": augmented(steps.Crop(3)),
    }
    return _members(recipes)


def augmentations() -> tuple[Member, ...]:
    """Each augmentation alone on 1,000 digits, and together those that keep the class of a digit."""
    base = few_digits()
    choices = {
        "none": (),
        "crop": (steps.Crop(3),),
        "translate": (steps.Translate(3),),
        "rotate": (steps.Rotate(15),),
        "affine": (steps.Affine(),),
        "elastic": (steps.Elastic(),),
        "flip": (steps.Flip(),),
        "noise": (steps.Noise(0.1),),
        "pixel flip": (steps.PixelFlip(),),
        "blur": (steps.Blur(),),
        "cutout": (steps.Cutout(12),),
        "erase": (steps.Erase(),),
        "mixup": (steps.Mixup(0.4),),
        "cutmix": (steps.Cutmix(),),
        "affine, elastic": (steps.Affine(), steps.Elastic()),
    }
    return _members({name: replace(base, augment=chosen) for name, chosen in choices.items()})


def batch_norms() -> tuple[Member, ...]:
    """The network with and without batch norm, over batch sizes; the rate is proportional to the batch up to 64.

    All take the same number of passes over the images.
    """
    base = replace(few_digits(), length=Duration(15, "ep"))
    members: list[Member] = []
    for series, edits in (("with batch norm", ("norm=batch",)), ("without", ())):
        for batch in BATCHES:
            rate = 0.02 * min(batch, 64) / 64
            recipe = replace(base, batch=batch, edits=(*base.edits, *edits), optimizer=replace(base.optimizer, lr=rate))
            name = f"{series.split()[0]}-{batch}"
            members.append(Member(name, recipe, f"{series}, batch {batch}", panel=series, place=float(batch)))
    return tuple(members)


def _members(recipes: dict[str, Recipe]) -> tuple[Member, ...]:
    return tuple(
        Member(name.lower().replace(",", "").replace(" ", "-"), recipe, name) for name, recipe in recipes.items()
    )


EXPERIMENTS = {
    "regularization": Experiment(
        title="each regularizer on 1,000 digits",
        question="A small network learns 1,000 images by heart: which regularizer helps it on others?",
        source=LECTURE,
        members=regularizers,
        picture="dots",
        seeds=3,
    ),
    "augmentation": Experiment(
        title="each augmentation on 1,000 digits",
        question="Which changes of the training images help, and which harm?",
        source=f"{LECTURE}; the papers of docs/augment.md",
        members=augmentations,
        picture="dots",
    ),
    "batch-norm": Experiment(
        title="batch normalization over batch sizes",
        question="How does batch normalization depend on the size of the batch?",
        source="Ioffe and Szegedy 2015; Wu and He 2018, figure 1",
        members=batch_norms,
        picture="lines",
        axis="images in a batch",
    ),
}
