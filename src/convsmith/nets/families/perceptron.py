"""Networks of fully connected layers: Rosenblatt's perceptron (1958) and multilayer perceptrons."""

from convsmith.nets.family import Family, Numbers, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, Dropout, Flatten, Linear
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, seq


def mlp(
    *,
    hidden: tuple[int, ...] = (),
    act: str = "relu",
    drop: float = 0.0,
    out: str | None = None,
    classes: int = 10,
    channels: int = 3,
    size: int | tuple[int, ...] | None = 32,
) -> Network:
    """Fully connected layers of `hidden` units, each with `act` and dropout `drop`, then one for the classes.

    `out` is an activation of the outputs: without hidden layers and with one output, "sigmoid" makes it the
    perceptron's P(y = 1 | x) = sigmoid(w x + b). `size` is an image's side or sides; if None, the input is a vector of
    `channels` values. The layers are in the head, since edits of fully connected layers change the head.
    """
    layers: dict[str, Node | None] = {}
    for i, width in enumerate(hidden, 1):
        layers |= {f"linear{i}": Linear(width), f"act{i}": Act(act), f"dropout{i}": Dropout(drop) if drop else None}
    head = seq(**layers, **{f"linear{len(hidden) + 1}": Linear(classes)}, act_out=Act(out) if out else None)
    sides = () if size is None else size if isinstance(size, tuple) else (size, size)
    return Network(
        name="mlp",
        family="mlp",
        input=Shape(channels, sides),
        stages=(("stem", seq(flatten=Flatten())),),
        heads=((MAIN, head),),
    )


def small_mlp(network: Network) -> Network:
    """A multilayer perceptron for images of about 32 pixels: the same layers, the first with fewer weights."""
    return network


def wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the units of each hidden layer, at least one."""
    return {**numbers, "hidden": tuple(max(1, round(width * factor)) for width in numbers["hidden"])}


MLP = Family("mlp", mlp, small_images=small_mlp, widen=wider)
NETWORKS = {
    "perceptron": Row(
        MLP, 1958, "Rosenblatt's: weights, a sum, a sigmoid in place of his step, on the Mark I's 400 photocells",
        {"out": "sigmoid", "classes": 1, "channels": 1, "size": 20},
    ),
    "mlp_cifar": Row(MLP, 1986, "CS231n's two-layer net, 3072-50-10", {"hidden": (50,)}),
    "mlp_dropout_cifar": Row(
        MLP, 2012, "CS231n's three-layer net with dropout after each hidden layer; its widths are ours",
        {"hidden": (100, 100), "drop": 0.5},
    ),
    "mlp_bottleneck_cifar": Row(
        MLP, 2013, "mlp_cifar with its first layer through 20 values: two linear layers that can express less",
        {"hidden": (50,)}, ("linear_bottleneck=20",),
    ),
    "mlp_12mp": Row(
        MLP, 2019, "why images need convolutions (STAT 157): 100 hidden units on a 12-megapixel photo, cats or dogs",
        {"hidden": (100,), "classes": 2, "size": (3000, 4000)},
    ),
}  # fmt: skip
