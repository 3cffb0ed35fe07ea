"""The fastest ways to an accuracy on CIFAR-10: the network of the speed records, trained by parts of the library."""

from dataclasses import replace

from convsmith.base.durations import Duration
from convsmith.data.augmentations import AlternatingFlip, Crop
from convsmith.data.options import DataOptions
from convsmith.data.views import Mirror, Translate
from convsmith.recipes.builtin.cifar import HELD_BACK
from convsmith.recipes.builtin.entry import BuiltIn
from convsmith.recipes.recipe import Recipe
from convsmith.training.options import Optimizer, Rule, Schedule

PAPER = (
    'Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", and its later form with Muon (Jordan et al. 2024)'
)
SOURCES = {
    "Jordan 2024, section 3.2": "whiten",
    "Jordan 2024, section 3.1": "network label_smoothing",
    "Jordan 2024, section 3.5": "views",
    "Jordan 2024, section 3.6": "augment",
    "the released script with Muon": "optimizer.kind optimizer.nesterov schedule.kind",
}
DIFFERS = (
    HELD_BACK,
    "Muon keeps no fixed length of the filters, which weight decay does, and everything else is left to AdamW",
    "batches are smaller, as suits a processor; length, optimizer.lr, momentum and weight decay are our choice",
    "the bias of the whitening convolution learns to the end, not for 3 epochs",
    "the probabilities of the views are averaged, not the outputs before them",
)


def _recipe(name: str, network: str, length: Duration) -> Recipe:
    return Recipe(
        name=name,
        network=network,
        data=DataOptions(source="cifar10"),
        whiten="whiten.conv",
        augment=(Crop(2, "reflect"), AlternatingFlip()),
        views=(Translate(1), Mirror()),
        batch=250,
        length=length,
        label_smoothing=0.2,
        optimizer=Optimizer(
            kind="muon", lr=0.04, momentum=0.8, nesterov=True, weight_decay=0.5,
            rules=(Rule("norm.*weight|whiten.conv.weight", freeze=True),),
        ),
        schedule=Schedule(kind="linear"),
        evaluate_every=Duration(2, "ep"),
        checkpoint_every=Duration(2, "ep"),
    )  # fmt: skip


def speed() -> BuiltIn:
    """The network of the record, by Muon."""
    return BuiltIn(
        recipe=_recipe("cifar10-speed", "airbench_cifar", Duration(7, "ep")),
        group="CIFAR-10",
        title="The network of the speed records on CIFAR-10 by Muon, in 7 epochs",
        paper=PAPER,
        figure="5.99% test error in the mean of 200 runs, 2.6 s on an A100 (the released script with Muon)",
        differs=DIFFERS,
        sources=SOURCES,
    )


def speed_small() -> BuiltIn:
    """The same at half the width, for processors."""
    entry = speed()
    return replace(
        entry,
        recipe=_recipe("cifar10-speed-small", "airbench_half_cifar", Duration(6, "ep")),
        title="The network of the speed records on CIFAR-10 at half its width, for processors: 6 epochs by Muon",
        figure="none for this width",
        result=(
            "Run once, on JPEG copies of the images (where a published ResNet-20 of 91.7% scores 81.0%): test accuracy "
            "86.4% through the views and 85.3% through one, in 7 minutes 3 seconds of training on 2 cores of an Intel "
            "Xeon of 2.5 GHz (fp32). The network and the recipe of the released script with Muon, its schedule fitted "
            "to 7 minutes 5 seconds there, on the same images: 82.0% and 81.2%, one run; fitted to 11 minutes 2 "
            "seconds: 85.3% and 84.5%. Of one epoch, two runs each: 80.7% and 80.2% in 78 and 90 seconds, there (in "
            "batches of 500) 74.6% and 74.0% in 98. Never run by us on the original images."
        ),
    )
