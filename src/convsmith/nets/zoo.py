"""Every network by name: its family, its numbers, its year; and the edits by name."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from convsmith.base.calls import Call, parse_call
from convsmith.base.errors import UsageError, unknown
from convsmith.base.table import Table
from convsmith.nets import edits
from convsmith.nets.classic import alexnet, lenet5, lenet5_1998, lenet5_d2l, small_alexnet, small_vgg, vgg
from convsmith.nets.network import Network
from convsmith.nets.residual import resnet, resnet_cifar, small_resnet

Edit = Callable[..., Network]


@dataclass(frozen=True)
class Row:
    """A network of the zoo: `build(**numbers)`, then `edits`; `note` says what tells it from its siblings."""

    build: Callable[..., Network]
    year: int
    note: str
    numbers: dict[str, Any] = field(default_factory=lambda: {})
    edits: tuple[str, ...] = ()


# Networks made for at least this many pixels a side get the small-image stem for images of at most SMALL_SIDE.
LARGE_SIDE, SMALL_SIDE = 128, 64
# What `small_images` does to each family that has images of about 224 pixels.
SMALL_IMAGES: dict[str, Callable[[Network], Network]] = {
    "alexnet": small_alexnet,
    "vgg": small_vgg,
    "resnet": small_resnet,
}

_VGG = {"11": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}
_RESNET = {
    "18": ("basic", (2, 2, 2, 2)),
    "34": ("basic", (3, 4, 6, 3)),
    "50": ("bottleneck", (3, 4, 6, 3)),
    "101": ("bottleneck", (3, 4, 23, 3)),
    "152": ("bottleneck", (3, 8, 36, 3)),
}
_CIFAR_DEPTHS = (20, 32, 44, 56, 110, 1202)


def _vgg_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, depths in _VGG.items():
        note = f"configuration {dict(zip(_VGG, 'ABDE', strict=True))[name]}"
        rows[f"vgg{name}"] = Row(vgg, 2014, note, {"depths": depths})
        rows[f"vgg{name}_bn"] = Row(vgg, 2015, f"{note}, with batch normalisation", {"depths": depths, "norm": True})
    return rows


def _resnet_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, (block, depths) in _RESNET.items():
        numbers = {"depths": depths, "block": block}
        stride = ", stride in the 3x3 (v1.5)" if block == "bottleneck" else ""
        rows[f"resnet{name}"] = Row(resnet, 2015, f"{block} blocks{stride}", numbers)
        if block == "bottleneck":
            note = "bottleneck blocks, stride in the first 1x1 (the paper's v1)"
            rows[f"resnet{name}_v1"] = Row(resnet, 2015, note, {**numbers, "stride_in": "1x1"})
    for name in ("18", "34"):
        block, depths = _RESNET[name]
        numbers = {"depths": depths, "block": block}
        rows[f"plain{name}"] = Row(resnet, 2015, f"resnet{name} without shortcuts", numbers, ("plain",))
    return rows


def _cifar_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for depth in _CIFAR_DEPTHS:
        a, b = {"depth": depth}, {"depth": depth, "shortcut": "projection"}
        rows[f"resnet{depth}_cifar"] = Row(resnet_cifar, 2015, "option A shortcuts (padded, no parameters)", a)
        rows[f"resnet{depth}_b_cifar"] = Row(resnet_cifar, 2015, "option B shortcuts (1x1 convolutions)", b)
        rows[f"plain{depth}_cifar"] = Row(resnet_cifar, 2015, f"resnet{depth}_cifar without shortcuts", a, ("plain",))
    return rows


NETWORKS: Table[Row] = Table(
    "network",
    {
        "lenet5": Row(lenet5, 1998, "the teaching table: tanh, average pooling, linear output"),
        "lenet5_code": Row(lenet5, 1998, "a PyTorch listing: no tanh after the last convolution", {"act_conv3": False}),
        "lenet5_d2l": Row(lenet5_d2l, 1998, "28-pixel images, padded first convolution, sigmoid"),
        "lenet5_1998": Row(lenet5_1998, 1998, "the paper: partial connections, learnt subsampling, RBF output"),
        "alexnet": Row(alexnet, 2014, "one column, 64-192-384-256-256 (torchvision)"),
        "alexnet_2012": Row(
            alexnet,
            2012,
            "the paper: two columns as groups, normalisation before pooling, 227-pixel images",
            {
                "widths": (96, 256, 384, 384, 256), "padding": 0, "groups": 2, "norm": "before_pool", "grid": None,
                "drop_first": False, "size": 227,
            },
        ),
        "alexnet_cs231n": Row(
            alexnet,
            2012,
            "CS231n: one column of full width, normalisation after pooling, 227-pixel images",
            {
                "widths": (96, 256, 384, 384, 256), "padding": 0, "norm": "after_pool", "grid": None,
                "drop_first": False, "size": 227,
            },
        ),
        "alexnet_d2l": Row(
            alexnet,
            2012,
            "Dive into Deep Learning: one column of full width, no normalisation, 5x5 features",
            {"widths": (96, 256, 384, 384, 256), "padding": 0, "grid": None, "drop_first": False},
        ),
        **_vgg_rows(),
        **_resnet_rows(),
        **_cifar_rows(),
    },
)  # fmt: skip


def network(name: str, **numbers: Any) -> Network:
    """The network of that name; `classes`, `channels`, `size` and the family's own numbers may be given.

    `network("resnet50", classes=10)` is a tree: print it, price it, edit it, build it.
    """
    row = NETWORKS[name]
    known = inspect.signature(row.build).parameters
    for key in numbers:
        if key not in known:
            raise unknown(f"number of {name}:", key, known)
    given = row.numbers | numbers
    tree = replace(row.build(**given), name=name, numbers=given)
    for text in row.edits:
        tree = edit(tree, text)
    return tree


def siblings(name: str) -> list[str]:
    """The other names that the same function builds for the same depth or form: `alexnet` has `alexnet_2012`, ..."""
    stem = name.split("_")[0]
    return [other for other in NETWORKS if other != name and other.split("_")[0] == stem]


def small_images(network: Network) -> Network:
    """The network with its family's stem for images of about 32 pixels, which keeps their resolution."""
    rule = SMALL_IMAGES.get(network.family)
    if rule is None:
        having = ", ".join(SMALL_IMAGES)
        raise UsageError(
            f"small_images: the family {network.family!r} has no rule for small images; these have: {having}"
        )
    small = replace(rule(network), input=replace(network.input, spatial=(32,) * len(network.input.spatial)))
    return edits.recorded(network, small, "small_images")


def suit_images(network: Network, size: tuple[int, ...], stem: str) -> Network:
    """The network for images of `size`; with `stem` "auto" its small-image stem where it is made for larger ones."""
    gap = max(network.input.spatial) >= LARGE_SIDE and max(size) <= SMALL_SIDE
    if stem == "small" or (stem == "auto" and gap and network.family in SMALL_IMAGES):
        network = small_images(network)
    return network if network.input.spatial == size else edits.size(network, *size)


EDITS: Table[Edit] = Table(
    "edit",
    {
        "classes": edits.classes,
        "channels": edits.channels,
        "size": edits.size,
        "small_images": small_images,
        "plain": edits.plain,
        "drop_path": edits.drop_path,
    },
)


def edit(network: Network, text: str) -> Network:
    """Apply an edit written as text: `drop_path=0.2`, `classes(10)`, `plain`."""
    call = parse_call(text)
    function = EDITS[call.name]
    _check_arguments(call, function)
    return function(network, *call.args, **dict(call.kwargs))


def _check_arguments(call: Call, function: Edit) -> None:
    """Refuse arguments whose number, names or types are not those of the edit function."""
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[1:]
    usage = f"{call.name}({', '.join(str(p) for p in own)})"
    try:
        bound = signature.bind(None, *call.args, **dict(call.kwargs))
    except TypeError as error:
        raise UsageError(f"the edit is {usage}: {error}") from None
    types = {int: int, int | None: int, float: (int, float), str: str}
    for parameter in own:
        value = bound.arguments.get(parameter.name, parameter.default)
        wanted = types.get(parameter.annotation, object)
        if value is not parameter.default and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise UsageError(f"the edit is {usage}: {parameter.name} cannot be {value!r}")
