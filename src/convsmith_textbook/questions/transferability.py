"""How well layers serve other classes, by the number of transferred layers (Yosinski et al. 2014)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.data.options import DataOptions
from convsmith.data.sources.opening import open_source
from convsmith.nets.model import tree_of
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, ConvTranspose, Linear, Rbf
from convsmith.nets.source import open_network
from convsmith.nets.tree import MAIN, Node, Seq, walk
from convsmith.nets.zoo import edit
from convsmith.recipes.recipe import Recipe
from convsmith.series.experiment import Experiment
from convsmith.series.member import Member
from convsmith.training.options import EngineOptions, Optimizer, Rule, Schedule

BASE_A, BASE_B = "base-A", "base-B"
_WEIGHTED = (Conv, ConvTranspose, Linear, Rbf)


@dataclass(frozen=True)
class Layer:
    """A part of a network that is transferred as a whole, with the paths of its nodes: `stage1.unit2`."""

    name: str
    paths: tuple[str, ...]


def layers(network: Network) -> list[Layer]:
    """The network's layers in the order of execution: children of stages and of the main head that have weights.

    A residual unit or an Inception module is one layer; a normalization belongs to the layer before it.
    """
    parts: list[Layer] = []
    for name, root in [*network.stages, (MAIN, dict(network.heads)[MAIN])]:
        for path, node in _children(name, root):
            if any(isinstance(inner, _WEIGHTED) for _, inner in walk(node)):
                parts.append(Layer(path, (path,)))
            elif parts:
                parts[-1] = replace(parts[-1], paths=(*parts[-1].paths, path))
    return parts


def _children(name: str, root: Node) -> list[tuple[str, Node]]:
    return [(f"{name}.{child}", node) for child, node in root.children] if isinstance(root, Seq) else [(name, root)]


def transfers() -> tuple[Member, ...]:
    """LeNet-5 with ReLU on digits below 5 (A) and from 5 (B), 500 images of each half, cut after each layer."""
    recipe = Recipe(
        name="transferability",
        network="lenet5",
        edits=("act=relu", "pool=max"),
        init="he_in",
        data=DataOptions(source="mnist", size=32, images=500, split="75/5/20"),
        batch=50,
        length=Duration(12, "ep"),
        optimizer=Optimizer(lr=0.02, momentum=0.9, weight_decay=5e-4),
        schedule=Schedule(kind="cosine", warmup=Duration(5, "%")),
        evaluate_every=Duration(4, "ep"),
        checkpoint_every=Duration(12, "ep"),
        engine=EngineOptions(precision="fp32", threads=1),
    )
    return of_recipe(recipe, tuple("0123456789"))


def suited(members: tuple[Member, ...], cuts: Sequence[str]) -> tuple[Member, ...]:
    """The members adapted to the data and network of their recipes, cut after the layers `cuts` (empty: after each)."""
    recipe = members[0].recipe
    named = {member.recipe.data.classes for member in members}
    # If the user chose classes, all members have the same; else the classes are those of the data.
    own = next(iter(named)) if len(named) == 1 else ()
    return of_recipe(recipe, own or open_source(replace(recipe.data, classes=())).card.classes, cuts)


def halves_of(classes: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The first half of the classes and the rest; UsageError for fewer than two in a half."""
    if len(classes) < 4:
        raise UsageError(
            f"transferability: expected at least 4 classes, two in each half, received {', '.join(classes) or 'none'}"
        )
    middle = (len(classes) + 1) // 2
    return tuple(classes[:middle]), tuple(classes[middle:])


def of_recipe(recipe: Recipe, classes: Sequence[str], cuts: Sequence[str] = ()) -> tuple[Member, ...]:
    """Base nets on the halves A and B of the classes, and for each cut the treatments of the paper's figure 1.

    AnB has the first n layers of A's net, frozen, BnB those of B's; with a plus they are trained further. The layers
    above get new random weights, and all nets learn B. "random" freezes n random layers (section 4.3).
    """
    of_a, of_b = (replace(recipe, data=replace(recipe.data, classes=half)) for half in halves_of(classes))
    members = [Member(BASE_A, of_a), Member(BASE_B, of_b, place=0.0)]
    parts = layers(_opened(recipe))
    for number in _numbers(parts, cuts, recipe.network):
        kept, new = _pattern(parts[:number]), _pattern(parts[number:])
        frozen = replace(
            of_b, optimizer=replace(of_b.optimizer, rules=(Rule(kept, freeze=True), *of_b.optimizer.rules))
        )
        for name, start, base in (
            ("A{n}B", BASE_A, frozen),
            ("B{n}B", BASE_B, frozen),
            ("A{n}B+", BASE_A, of_b),
            ("B{n}B+", BASE_B, of_b),
        ):
            label, series = name.format(n=number), _SERIES[name]
            taken = replace(base, renew=new)
            members.append(Member(label.replace("+", "-tuned"), taken, label, start, series, float(number)))
        members.append(Member(f"random-{number}", frozen, "", None, _SERIES["random"], float(number)))
    return tuple(members)


_SERIES = {
    "A{n}B": "AnB: layers of A, kept as they are",
    "B{n}B": "BnB: layers of B, kept as they are",
    "A{n}B+": "AnB+: layers of A, trained on",
    "B{n}B+": "BnB+: layers of B, trained on",
    "random": "layers that were never trained",
}


def _opened(recipe: Recipe) -> Network:
    network = tree_of(open_network(recipe.network), "it has no layers to cut after")
    for text in recipe.edits:
        network = edit(network, text)
    return network


def _numbers(parts: Sequence[Layer], cuts: Sequence[str], network: str) -> list[int]:
    """The number of layers below each cut; a cut is a layer's name or its number."""
    names = [part.name for part in parts[:-1]]
    if not names:
        raise UsageError(f"transferability: {network} has one layer only, so that there is no cut")
    numbers: set[int] = set()
    for cut in cuts:
        if cut in names:
            numbers.add(names.index(cut) + 1)
        elif cut.isdecimal() and 1 <= int(cut) <= len(names):
            numbers.add(int(cut))
        else:
            choices = ", ".join(f"{i} {name}" for i, name in enumerate(names, 1))
            raise UsageError(f"--cuts: {network} cannot be cut after {cut!r}; it can after {choices}")
    return sorted(numbers) or list(range(1, len(names) + 1))


def _pattern(parts: Sequence[Layer]) -> str:
    """A regular expression that matches the tensors of these layers."""
    return f"^({'|'.join(re.escape(path) for part in parts for path in part.paths)})\\."


EXPERIMENTS = {
    "transferability": Experiment(
        title="layers learned on some classes, used for others",
        question="Which layers are general, and which belong to the classes that they were learned with?",
        source="Yosinski et al. 2014, figures 1 to 3",
        members=transfers,
        picture="lines",
        axis="layers taken over",
        seeds=3,
        against=BASE_B,
        suit=suited,
    )
}
