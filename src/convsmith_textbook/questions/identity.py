"""A deeper network made of a trained network and identity layers (He et al. 2016, section 1)."""

from dataclasses import replace

from convsmith.base.durations import Duration
from convsmith.data.options import DataOptions
from convsmith.recipes.recipe import Recipe
from convsmith.series.experiment import Experiment
from convsmith.series.member import Member
from convsmith.training.options import EngineOptions, Optimizer, Schedule
from convsmith_textbook.later import later

KINDS = {"plain": "plain20_cifar", "residual": "resnet20_cifar"}
MORE = "identity_layers=3"


def constructions() -> tuple[Member, ...]:
    """Networks of 20 layers on 2,000 digits, plain and residual; deeper ones that start from them, and from nothing.

    Each stage gets three more convolutions (plain) or units of two (residual). The low rate suits trained networks; all
    members have this rate and the same length.
    """
    recipe = Recipe(
        name="identity",
        data=DataOptions(source="mnist", size=16, images=2000, split="75/5/20"),
        batch=50,
        length=Duration(5, "ep"),
        optimizer=Optimizer(lr=0.02, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule(kind="cosine", warmup=Duration(5, "%")),
        checkpoint_every=Duration(5, "ep"),
        engine=EngineOptions(precision="fp32"),
        explosion=0.0,  # a deep plain network may begin with a loss far above that of a random guess
    )
    members: list[Member] = []
    for kind, network in KINDS.items():
        shallow, series = replace(recipe, network=network), f"{kind} networks"
        deeper = replace(shallow, edits=(MORE,))
        members += [
            Member(f"{kind}-shallow", shallow, f"{kind}, 20 layers", panel=series),
            Member(f"{kind}-deeper", deeper, f"{kind}, deeper from it", f"{kind}-shallow", series),
            Member(f"{kind}-anew", deeper, f"{kind}, deeper anew", panel=series),
        ]
    return tuple(members)


EXPERIMENTS = {
    "identity": Experiment(
        title="a deeper network that begins as a shallower one",
        question="A deeper network can compute what a shallower one does: does it, and does it go on from there?",
        source="He et al. 2016, section 1: the solution by construction",
        members=constructions,
        picture="courses",
        metric="loss",
        seeds=2,
        checks=later("questions.identity_checks", "beginnings"),
    )
}
