"""Every network by name: its family, its numbers, its year; and the edits by name."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from convsmith.base.calls import Call, parse_call
from convsmith.base.errors import UsageError, unknown
from convsmith.base.table import Table
from convsmith.nets import edits
from convsmith.nets.families import alexnet, lenet, resnet, vgg
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network

Edit = Callable[..., Network]

NETWORKS: Table[Row] = Table(
    "network",
    {
        **lenet.NETWORKS,
        **alexnet.NETWORKS,
        **vgg.NETWORKS,
        **resnet.NETWORKS,
    },
)
FAMILIES: dict[str, Family] = {row.family.name: row.family for row in NETWORKS.values()}

# Networks made for at least this many pixels a side get the small-image stem for images of at most SMALL_SIDE.
LARGE_SIDE, SMALL_SIDE = 128, 64


def network(name: str, **numbers: Any) -> Network:
    """The network of that name; `classes`, `channels`, `size` and the family's own numbers may be given.

    `network("resnet50", classes=10)` is a tree: print it, price it, edit it, build it.
    """
    row = NETWORKS[name]
    known = inspect.signature(row.family.build).parameters
    for key in numbers:
        if key not in known:
            raise unknown(f"number of {name}:", key, known)
    given = {**row.numbers, **numbers}
    tree = replace(row.family.build(**given), name=name, numbers=given)
    for text in row.edits:
        tree = edit(tree, text)
    return tree


def siblings(name: str) -> list[str]:
    """The other names that the same function builds for the same depth or form: `alexnet` has `alexnet_2012`, ..."""
    stem = name.split("_")[0]
    return [other for other in NETWORKS if other != name and other.split("_")[0] == stem]


def small_images(network: Network) -> Network:
    """The network with its family's stem for images of about 32 pixels, which keeps their resolution."""
    family = FAMILIES.get(network.family)
    if family is None or family.small_images is None:
        having = ", ".join(name for name, family in FAMILIES.items() if family.small_images)
        raise UsageError(
            f"small_images: the family {network.family!r} has no rule for small images; these have: {having}"
        )
    small = replace(
        family.small_images(network), input=replace(network.input, spatial=(32,) * len(network.input.spatial))
    )
    return edits.recorded(network, small, "small_images")


def suit_images(network: Network, size: tuple[int, ...], stem: str) -> Network:
    """The network for images of `size`; with `stem` "auto" its small-image stem where it is made for larger ones."""
    gap = max(network.input.spatial) >= LARGE_SIDE and max(size) <= SMALL_SIDE
    family = FAMILIES.get(network.family)
    if stem == "small" or (stem == "auto" and gap and family is not None and family.small_images is not None):
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
