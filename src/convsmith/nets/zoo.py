"""Every network by name: its family, its numbers, its year; and the edits by name."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, cast, get_type_hints

from convsmith.base.calls import Call, parse_call
from convsmith.base.config import read_value
from convsmith.base.errors import NoChange, UsageError, WrongType, unknown
from convsmith.base.table import Table
from convsmith.nets import edits
from convsmith.nets.edits.size import check_map
from convsmith.nets.families import (
    airbench,
    alexnet,
    amoebanet,
    autoencoder,
    chatfield,
    context,
    convnetjs,
    convnext,
    darts,
    densenet,
    efficientnet,
    efficientnet_lite,
    enas,
    googlenet,
    inception,
    inception_v4,
    lenet,
    mnasnet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    neocognitron,
    nin,
    perceptron,
    pnasnet,
    preactivation,
    regnet,
    repvgg,
    resnet,
    se,
    shufflenet,
    squeezenet,
    tdnn,
    vgg,
    video,
    wide,
    xception,
    zfnet,
)
from convsmith.nets.family import Family, Renaming, Row
from convsmith.nets.network import Network

Edit = Callable[..., Network]

NETWORKS: Table[Row] = Table(
    "network",
    {
        **perceptron.NETWORKS,
        **neocognitron.NETWORKS,
        **tdnn.NETWORKS,
        **lenet.NETWORKS,
        **alexnet.NETWORKS,
        **convnetjs.NETWORKS,
        **nin.NETWORKS,
        **zfnet.NETWORKS,
        **chatfield.NETWORKS,
        **vgg.NETWORKS,
        **video.NETWORKS,
        **context.NETWORKS,
        **googlenet.NETWORKS,
        **inception.NETWORKS,
        **resnet.NETWORKS,
        **preactivation.NETWORKS,
        **wide.NETWORKS,
        **inception_v4.NETWORKS,
        **squeezenet.NETWORKS,
        **densenet.NETWORKS,
        **xception.NETWORKS,
        **mobilenet_v1.NETWORKS,
        **shufflenet.NETWORKS,
        **mobilenet_v2.NETWORKS,
        **nasnet.NETWORKS,
        **pnasnet.NETWORKS,
        **amoebanet.NETWORKS,
        **enas.NETWORKS,
        **darts.NETWORKS,
        **mnasnet.NETWORKS,
        **mobilenet_v3.NETWORKS,
        **efficientnet.NETWORKS,
        **efficientnet_lite.NETWORKS,
        **se.NETWORKS,
        **regnet.NETWORKS,
        **repvgg.NETWORKS,
        **convnext.NETWORKS,
        **airbench.NETWORKS,
        **autoencoder.NETWORKS,
    },
)
FAMILIES: dict[str, Family] = {row.family.name: row.family for row in NETWORKS.values()}

# Networks made for at least this many pixels a side get the small-image stem for images of at most SMALL_SIDE.
LARGE_SIDE, SMALL_SIDE = 128, 64


def network(name: str, **numbers: Any) -> Network:
    """The network called `name`; `numbers` are `classes`, `channels`, `size` and the family's own numbers.

    `network("resnet50", classes=10)` is a tree: print it, price it, edit it, build it.
    """
    row = NETWORKS[name]
    given = {**row.numbers, **checked_numbers(row.family, numbers, name)}
    tree = replace(row.family.build(**given), name=name, numbers=given)
    for text in row.edits:
        tree = edit(tree, text)
    return tree


def checked_numbers(family: Family, numbers: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The numbers of a family, converted to the types that its function declares; an error names the wrong number."""
    known = inspect.signature(family.build).parameters
    hints = get_type_hints(getattr(family.build, "func", family.build))
    checked: dict[str, Any] = {}
    for key, value in numbers.items():
        if key not in known:
            raise unknown(f"number of {name}:", key, known)
        checked[key] = read_value(hints[key], value, f"{name}: {key}")
        _check_range(f"{name}: {key}", key, checked[key])
    return checked


# Numbers that are at least 1, and numbers that count layers: these have a bound, since a slip must not build for hours.
_AT_LEAST_ONE, _LAYERS = ("classes", "channels", "size", "cells"), ("depth", "depths", "cells")
MOST_LAYERS = 10_000


def _check_range(where: str, key: str, value: Any) -> None:
    numbers = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
    for number in (n for n in numbers if isinstance(n, int) and not isinstance(n, bool)):
        if number < 1 and (key in _AT_LEAST_ONE or isinstance(value, tuple)):
            raise WrongType(f"{where} is a whole number of at least 1, received {value!r}")
        if number > MOST_LAYERS and key in _LAYERS:
            raise UsageError(f"{where} is at most {MOST_LAYERS:,}, received {value!r}")


def renamings(network: Network) -> list[Renaming]:
    """The renamings of the network's family for this network: other projects' names for its weights."""
    family = FAMILIES.get(network.family)
    known = family.renamings if family else ()
    return [renaming if isinstance(renaming, Renaming) else renaming(network) for renaming in known]


def siblings(name: str) -> list[str]:
    """The other names with the same stem: `alexnet` has `alexnet_2012`, `resnet20_cifar` has `resnet20_b_cifar`."""
    return [other for other in NETWORKS if other != name and _stem(other) == _stem(name)]


def _stem(name: str) -> str:
    """The shortest beginning of a name, in whole words and without `_cifar`, that names a network too."""
    words = name.removesuffix("_cifar").split("_")
    beginnings = ("_".join(words[:count]) for count in range(1, len(words) + 1))
    return next(stem for stem in beginnings if stem in NETWORKS or f"{stem}_cifar" in NETWORKS)


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
    """The network for images of `size`; `stem` "small" sets the small-image stem.

    "auto" sets it if the network was made for larger images; "large" never does.
    """
    if not network.input.spatial:
        raise UsageError(f"size: {network.name} takes vectors, which have no size")
    gap = max(network.input.spatial) >= LARGE_SIDE and max(size) <= SMALL_SIDE
    family = FAMILIES.get(network.family)
    if stem == "small" or (stem == "auto" and gap and family is not None and family.small_images is not None):
        network = small_images(network)
    if network.input.spatial == size:
        return network
    if len(size) != 2 and len(set(size)) > 1:
        raise UsageError(f"size: {network.name} takes one size for all its axes, received {size}")
    return edits.size(network, *(size if len(size) == 2 else size[:1]))


def widen(network: Network, factor: float) -> Network:
    """The network with `factor` times as many channels, by its family's rule; the other edits are applied again."""
    return edits.recorded(network, _scaled(network, "widen", factor), "widen", factor)


def deepen(network: Network, factor: float) -> Network:
    """The network with `factor` times as many layers, by its family's rule; the other edits are applied again."""
    return edits.recorded(network, _scaled(network, "deepen", factor), "deepen", factor)


def scale(network: Network, width: float = 1.0, depth: float = 1.0, resolution: float = 1.0) -> Network:
    """The network `width` times as wide, `depth` times as deep, for images `resolution` times as large.

    Tan and Le 2019, section 3. The edit `compound` takes width 1.1**phi, depth 1.2**phi and resolution 1.15**phi.
    """
    for name, factor in (("width", width), ("depth", depth), ("resolution", resolution)):
        _check_factor(f"scale: {name}", factor)
    after = network if width == 1 else _scaled(network, "widen", width)
    after = after if depth == 1 else _scaled(after, "deepen", depth)
    sizes = tuple(max(1, round(n * resolution)) for n in network.input.spatial)
    resized = replace(network.input, spatial=sizes)
    check_map(after, resized)
    after = replace(after, input=resized)
    return edits.recorded(network, after, "scale", width, depth, resolution)


def _resolution(call: Call) -> float:
    """The factor by which an edit of `_OF_NUMBERS` enlarged the images."""
    if call.name == "scale":
        return dict(zip(("width", "depth", "resolution"), call.args, strict=False)).get("resolution", 1.0)
    return 1.15 ** call.args[0] if call.name == "compound" else 1.0


def _check_factor(what: str, factor: float) -> None:
    """Raise UsageError if a factor is outside 0.01 to 100."""
    if not 0.01 <= factor <= 100:
        raise UsageError(f"{what}: expected a factor from 0.01 to 100, received {factor}")


def compound(network: Network, phi: float) -> Network:
    """`scale` by EfficientNet's compound rule: about 2**phi times the MACs (Tan and Le 2019, equation 3)."""
    if not -20 <= phi <= 20:
        raise UsageError(f"compound: expected a coefficient from -20 to 20, received {phi}")
    after = scale(network, 1.1**phi, 1.2**phi, 1.15**phi)
    return edits.recorded(network, replace(after, edits=network.edits), "compound", phi)


# Edits of the family's numbers: the new numbers contain them already, so they are not applied again.
_OF_NUMBERS = ("widen", "deepen", "scale", "compound")


def _scaled(network: Network, way: Literal["widen", "deepen"], factor: float) -> Network:
    """The network built from its scaled numbers, with its other edits applied again."""
    _check_factor(way, factor)
    family = FAMILIES.get(network.family)
    rule = getattr(family, way) if family else None
    if family is None or rule is None:
        having = ", ".join(name for name, family in FAMILIES.items() if getattr(family, way))
        raise UsageError(f"{way}: the family {network.family!r} has no rule for it; these have: {having}")
    defaults = {p.name: p.default for p in inspect.signature(family.build).parameters.values()}
    numbers = {name: value for name, value in defaults.items() if value is not inspect.Parameter.empty}
    numbers |= checked_numbers(family, network.numbers, f"the family {family.name}")
    missing = [name for name in defaults if name not in numbers]
    if missing:
        raise UsageError(f"{way}: the numbers of {network.name} lack {', '.join(missing)}")
    now = _rebuilt(network, family, numbers)
    if (now.stages, now.heads) != (network.stages, network.heads):
        raise UsageError(f"{way}: {network.name} was changed by other means than its edits; {way} it before that")
    return _rebuilt(network, family, checked_numbers(family, rule(numbers, factor), way))


def _rebuilt(network: Network, family: Family, numbers: dict[str, Any]) -> Network:
    """The network of `numbers` with the edits of `network` applied again, without warnings of edits without effect."""
    tree = replace(family.build(**numbers), name=network.name, numbers=numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoChange)
        for text in network.edits:
            call = parse_call(text)
            if call.name not in _OF_NUMBERS:
                tree = edit(tree, text)
            else:
                sizes = tuple(max(1, round(n * _resolution(call))) for n in tree.input.spatial)
                tree = replace(tree, input=replace(tree.input, spatial=sizes))
    return replace(tree, input=network.input, edits=network.edits)


EDITS: Table[Edit] = Table(
    "edit",
    {
        "classes": edits.classes,
        "channels": edits.channels,
        "size": edits.size,
        "main_head": edits.main_head,
        "cut": edits.cut,
        "small_images": small_images,
        "widen": widen,
        "deepen": deepen,
        "scale": scale,
        "compound": compound,
        "identity_layers": edits.identity_layers,
        "plain": edits.plain,
        "se": edits.se,
        "drop_path": edits.drop_path,
        "dropout": edits.dropout,
        "dropconnect": edits.dropconnect,
        "norm": edits.norm,
        "pool": edits.pool,
        "act": edits.act,
        "dilate": edits.dilate,
        "separable": edits.separable,
        "low_rank": edits.low_rank,
        "linear_bottleneck": edits.linear_bottleneck,
        "fully_convolutional": edits.fully_convolutional,
        "fold_norm": edits.fold_norm,
        "reparameterise": edits.reparameterise,
        "recompute": edits.recompute,
    },
)


def edit(network: Network, text: str) -> Network:
    """Apply an edit written as text: `drop_path=0.2`, `classes(10)`, `plain`."""
    if not isinstance(network, Network):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise WrongType(f"expected a network, such as network('resnet18'), received {network!r:.60}")
    call = parse_call(text)
    function = EDITS[call.name]
    _check_arguments(call, function)
    return function(network, *call.args, **dict(call.kwargs))


def edit_usage(name: str) -> str:
    """The signature of an edit: its name with its arguments, their types and defaults."""
    own = list(inspect.signature(EDITS[name]).parameters.values())[1:]
    return f"{name}({', '.join(str(p) for p in own)})"


def _check_arguments(call: Call, function: Edit) -> None:
    """Raise UsageError if the number, names or types of the arguments do not fit the edit function."""
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[1:]
    usage = edit_usage(call.name)
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
