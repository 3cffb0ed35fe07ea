"""What `show` and `compare` share: naming a network with its input and edits, and pricing it."""

import argparse
from importlib import import_module
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import add_short
from convsmith.nets.cost import Cost, cost
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign, open_network
from convsmith.nets.zoo import EDITS, edit, small_images, suit_images
from convsmith.runs.directory import is_run, open_run
from convsmith.runs.network import network_of


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Options that shape a network."""
    add_short(parser, "edit", "stem")
    for name, help in (("classes", "outputs"), ("channels", "input channels"), ("size", "input height and width")):
        parser.add_argument(f"--{name}", type=_count, metavar="N", help=help)


def _count(text: str) -> int:
    """A whole number above 0; argparse makes one line of the error."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def opened(name: str, values: argparse.Namespace) -> Network | Foreign:
    """The network that `name` and the options ask for; a run stands for its network."""
    numbers = {k: v for k in ("classes", "channels") if (v := getattr(values, k)) is not None}
    if is_run(name):
        tree = network_of(open_run(name))
        for key, count in numbers.items() if isinstance(tree, Network) else ():
            tree = EDITS[key](tree, count)
    else:
        tree = open_network(name, **numbers)
    if values.stem not in (None, "auto", "small", "large"):
        raise UsageError(f"stem: expected auto, small or large, received {values.stem!r}")
    if isinstance(tree, Foreign):
        if values.edit or values.stem:
            raise UsageError(f"{name} is no tree, so it cannot be edited")
        return tree
    if values.size or values.stem == "small":
        sizes = (values.size,) * len(tree.input.spatial)
        tree = suit_images(tree, sizes, values.stem or "auto") if values.size else small_images(tree)
    for text in values.edit or ():
        tree = edit(tree, text)
    return tree


def priced(name: str, network: Network | Foreign, values: argparse.Namespace) -> Cost:
    """What the network costs; a module that is no tree is built and run once, on images like its run's."""
    if isinstance(network, Network):
        return cost(network)
    preprocess = open_run(name).record("preprocess") if is_run(name) else {"mode": "RGB", "size": [224, 224]}
    height, width = (values.size, values.size) if values.size else preprocess["size"]
    channels = values.channels or (1 if preprocess["mode"] == "L" else 3)
    # Only here torch is needed.
    making, measuring = import_module("convsmith.nets.source"), import_module("convsmith.nets.measure")
    return measuring.measure_module(making.make(network), (channels, height, width))


def field_size(numbers: Cost) -> int | list[int] | None:
    """The receptive field as one number where all axes agree; None where it is not known."""
    sizes = list(numbers.receptive_field)
    if not sizes:
        return None
    return sizes[0] if len(set(sizes)) == 1 else sizes


def as_json(network: Network | Foreign, numbers: Cost) -> dict[str, Any]:
    """What `show --json` prints."""
    layers = [
        {"name": layer.name, "op": layer.op, "output": list(layer.output), "params": layer.params, "macs": layer.macs}
        for layer in numbers.layers
    ]
    return {
        "network": network.name,
        "input": list(numbers.input),
        "params": numbers.params,
        "macs": numbers.macs,
        "flops": numbers.flops,
        "activation_bytes": numbers.activation_bytes,
        "receptive_field": field_size(numbers),
        "layers": layers,
    }
