"""Shared by `show` and `compare`: opens a network with its input and edits, and counts its cost."""

import argparse
from dataclasses import replace
from typing import Any, cast

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import add_short
from convsmith.data.fit import read_size
from convsmith.nets.cost import Cost, as_shape, cost
from convsmith.nets.model import Model, no_tree
from convsmith.nets.network import Network
from convsmith.nets.source import open_network
from convsmith.nets.zoo import EDITS, edit, small_images, suit_images
from convsmith.report.text import many
from convsmith.runs.trained import is_trained, trained_network, trained_shape


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that change a network."""
    add_short(parser, "edit", "stem")
    for name, help in (("classes", "outputs"), ("channels", "input channels")):
        parser.add_argument(f"--{name}", type=_count, metavar="N", help=help)
    help = "input: the side of a square, or height x width as in 32x128"
    parser.add_argument("--size", type=size_option, metavar="N|HxW", help=help)
    help = "another input for the network as it is: channels and 1 to 3 sizes (--size also fits the stem)"
    parser.add_argument("--input", type=_shape, metavar="C,H,W", help=help)


def _count(text: str) -> int:
    """A whole number above 0; argparse prints the error on one line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def size_option(text: str) -> tuple[int, int]:
    """Height and width of `32x128` or `224`; argparse prints the error on one line."""
    try:
        return read_size(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("size: ")) from None


def _shape(text: str) -> tuple[int, ...]:
    """Channels and spatial sizes: `3,32,32`."""
    words = [word.strip() for word in text.replace("x", ",").split(",")]
    if not 2 <= len(words) <= 4 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise argparse.ArgumentTypeError(f"expected channels and 1 to 3 sizes, such as 3,32,32, received {text!r}")
    return tuple(int(word) for word in words)


def opened(name: str, values: argparse.Namespace) -> Model:
    """The network `name` with the options applied; a run gives its network."""
    if values.input and (values.size or values.channels):
        raise UsageError("--input gives channels and size already; leave out --size and --channels")
    numbers = {k: v for k in ("classes", "channels") if (v := getattr(values, k)) is not None}
    network = trained_network(name) if is_trained(name) else open_network(name, **numbers)
    tree = network.tree
    if tree is not None:
        # A run's network, a tree from a file, or a function without such a parameter.
        have = {"classes": tree.classes, "channels": tree.input.channels}
        for key, count in numbers.items():
            tree = tree if have[key] == count else EDITS[key](tree, count)
    elif values.channels and name.startswith("torchvision:"):
        raise UsageError(no_tree(network, "it keeps its 3 channels; name ours without torchvision: to change them"))
    if values.stem not in (None, "auto", "small", "large"):
        raise UsageError(f"stem: expected auto, small or large, received {values.stem!r}")
    if tree is None:
        if values.edit or values.stem:
            raise UsageError(no_tree(network, "it cannot be edited"))
        return network
    if values.size or values.stem == "small":
        tree = (
            suit_images(tree, _sizes(values.size, tree), values.stem or "auto") if values.size else small_images(tree)
        )
    for text in values.edit or ():
        tree = edit(tree, text)
    return replace(tree, input=as_shape(values.input)) if values.input else tree


def _sizes(size: tuple[int, int], tree: Network) -> tuple[int, ...]:
    """The size for the axes of the tree's input; the side of a square is used for every axis."""
    axes = len(tree.input.spatial)
    if axes != 2 and size[0] != size[1]:
        raise UsageError(
            f"size: {tree.name} has inputs of {many(axes, 'axis', 'axes')}; give one number, or --input C,H,W"
        )
    return size if axes == 2 else (size[0],) * axes


def priced(name: str, network: Model, values: argparse.Namespace) -> Cost:
    """The cost of the network. A module that is not a tree is built and run once, on images of its run's size."""
    if network.tree is not None:
        return cost(network.tree)
    channels, *seen = trained_shape(name) if is_trained(name) else (3, 224, 224)
    shape = values.input or (values.channels or channels, *(values.size or seen))
    return cast(Cost, network.price(shape))


def field_size(sizes: tuple[int, ...]) -> int | list[int] | None:
    """A receptive field as one number if all axes agree; None if it is not known."""
    if not sizes:
        return None
    return sizes[0] if len(set(sizes)) == 1 else list(sizes)


def field_words(sizes: tuple[int, ...]) -> str:
    """A receptive field for a table: `435`, `7x1`, `-` if it is not known."""
    return "x".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1])) or "-"


def _others(network: Network) -> dict[str, Any]:
    return {other.name: {"shape": list(other.shape), "dtype": other.dtype} for other in network.inputs}


def as_json(network: Model, numbers: Cost) -> dict[str, Any]:
    """The totals of a network, as `show --json` and `compare --json` print them."""
    return {
        "network": network.name,
        "input": list(numbers.input),
        **({"inputs": _others(network)} if isinstance(network, Network) and network.inputs else {}),
        "params": numbers.params,
        "macs": numbers.macs,
        "flops": numbers.flops,
        "activation_bytes": numbers.activation_bytes,
        "receptive_field": field_size(numbers.receptive_field),
        "auxiliary_params": numbers.auxiliary_params,
        "auxiliary_macs": numbers.auxiliary_macs,
    }
