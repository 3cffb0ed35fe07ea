"""Experiments on depth, width and paths: plain and residual networks on small CIFAR images."""

from convsmith.base.durations import Duration
from convsmith.data.augmentations import Crop, Flip
from convsmith.data.options import DataOptions
from convsmith.nets.cost import cost
from convsmith.nets.zoo import edit, network
from convsmith.recipes.recipe import Recipe
from convsmith.series.experiment import Experiment
from convsmith.series.member import Member
from convsmith.training.options import EngineOptions, Optimizer, Schedule

HE = "He et al. 2016"


def cifar(name: str, *edits: str, images: int = 10_000) -> Recipe:
    """The recipe of these members: 10 epochs on `images` images of CIFAR-10 at 16 pixels, small enough for 2 cores.

    Optimizer, augmentation and the two drops of the rate are those of He et al. 2016, section 4.2, in proportion (half
    the rate for half the batch). A short warmup and branches that begin at zero (Goyal et al. 2017, section 5.1) let
    deep residual networks learn in so few steps. 2,000 images validate.
    """
    return Recipe(
        name=name.removesuffix("_cifar"),
        network=name,
        edits=edits,
        init="zero_residual",
        data=DataOptions(source="cifar10", size=16, images=images, split="76/4/20"),
        augment=(Crop(2), Flip()),
        batch=64,
        length=Duration(10, "ep"),
        optimizer=Optimizer(lr=0.05, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule(kind="step", warmup=Duration(5, "%"), at=(Duration(60, "%"), Duration(85, "%"))),
        engine=EngineOptions(precision="fp32"),
        explosion=0.0,  # very deep plain networks begin with a loss far above that of a random guess
    )


def degradation() -> tuple[Member, ...]:
    """Plain and residual networks of 20 and 56 layers; the shortcuts have no parameters (option A)."""
    return tuple(
        Member(f"{kind}-{depth}", cifar(f"{name}{depth}_cifar"), panel=f"{kind} networks")
        for kind, name in (("plain", "plain"), ("residual", "resnet"))
        for depth in (20, 56)
    )


def depths() -> tuple[Member, ...]:
    """Residual networks from 20 to 110 layers."""
    return tuple(Member(f"resnet-{d}", cifar(f"resnet{d}_cifar", images=5000)) for d in (20, 32, 44, 56, 110))


def squeeze_excite() -> tuple[Member, ...]:
    """ResNet-20 without and with squeeze and excitation, with 1/16 and 1/4 of the channels in the gates."""
    edits = {"without": (), "se-16": ("se=16",), "se-4": ("se=4",)}
    return tuple(Member(name, cifar("resnet20_cifar", *given)) for name, given in edits.items())


def stochastic_depth() -> tuple[Member, ...]:
    """ResNet-56 with all branches, and with drop rates that rise from 0 to 0.2 or 0.5 at the last branch."""
    edits = {"all branches": (), "drop 0.2": ("drop_path=0.2",), "drop 0.5": ("drop_path=0.5",)}
    return tuple(
        Member(name.replace(" ", "-"), cifar("resnet56_cifar", *given, images=5000), name)
        for name, given in edits.items()
    )


def width_and_depth() -> tuple[Member, ...]:
    """ResNet-20, and pairs of about equal cost: 1.5 times as wide or 2 as deep, 2 as wide or 4 as deep."""
    edits = {"base": (), "wide-1.5": ("widen=1.5",), "wide-2": ("widen=2",), "deep-2": ("deepen=2",),
             "deep-4": ("deepen=4",)}  # fmt: skip
    series = {"wide": "wider", "deep": "deeper"}
    return tuple(
        Member(
            name,
            cifar("resnet20_cifar", *given, images=5000),
            panel=series.get(name.split("-")[0], ""),
            place=float(_parameters(given)),
        )
        for name, given in edits.items()
    )


def _parameters(edits: tuple[str, ...]) -> int:
    tree = network("resnet20_cifar")
    for text in edits:
        tree = edit(tree, text)
    return cost(tree).params


EXPERIMENTS = {
    "degradation": Experiment(
        title="plain and residual networks of 20 and 56 layers",
        question="Does a deeper plain network train worse than a shallower one, and do shortcuts mend it?",
        source=f"{HE}, section 4.2 and figure 6 (left and middle)",
        members=degradation,
        picture="courses",
    ),
    "depth": Experiment(
        title="residual networks of 20 to 110 layers",
        question="What do more layers give a residual network?",
        source=f"{HE}, section 4.2 and table 6",
        members=depths,
        picture="courses",
    ),
    "width-vs-depth": Experiment(
        title="a residual network made wider or deeper",
        question="For about the same parameters and MACs: is it better to widen or to deepen?",
        source="Zagoruyko and Komodakis 2016, section 3 and table 4",
        members=width_and_depth,
        picture="lines",
        axis="parameters",
    ),
    "se": Experiment(
        title="squeeze and excitation in a residual network",
        question="What do gates on the channels give?",
        source="Hu et al. 2018, section 6.1 and table 4",
        members=squeeze_excite,
        picture="dots",
        seeds=2,
    ),
    "stochastic-depth": Experiment(
        title="branches left out in training",
        question="Does a residual network gain from branches that are dropped at random in training?",
        source="Huang et al. 2016, section 4 and figure 3",
        members=stochastic_depth,
        picture="courses",
    ),
}
