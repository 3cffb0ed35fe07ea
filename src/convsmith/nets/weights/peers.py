"""The same networks in torchvision and timm: their names there, and the map of their weight names to ours."""

# pyright: standard, reportMissingTypeStubs=false, reportMissingImports=false
# torch declares its types only in part, and timm need not be installed.

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from convsmith.base.errors import CheckFailed, ConvsmithError
from convsmith.nets.modules.build import BuiltNetwork, build
from convsmith.nets.network import Network
from convsmith.nets.tree import Add, Node, rewrite
from convsmith.nets.weights.name_map import name_map
from convsmith.nets.zoo import NETWORKS, network

Library = Literal["torchvision", "timm"]
LIBRARIES: tuple[Library, ...] = ("torchvision", "timm")
TOLERANCE = 1e-4  # of the largest output: another order of sums changes about 1e-6, another eps more than this

# Names that we share with timm. timm's forms differ in details (padding, eps): a network of the same name that computes
# something else (efficientnet_b5, mobilenetv3_large_100, ...) is not in this list.
_SAME = """
vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn
resnet18 resnet34 resnet50 resnet101 resnet152 wide_resnet50_2 wide_resnet101_2
resnext50_32x4d resnext101_32x4d resnext101_32x8d resnext101_64x4d
inception_v3 inception_v4 inception_resnet_v2
densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4
repvgg_a0 repvgg_a1 repvgg_a2 repvgg_b0 repvgg_b1 repvgg_b1g4
convnext_tiny convnext_small convnext_base convnext_large
"""
_REGNET = {"1_6gf": "016", "3_2gf": "032", "16gf": "160", "32gf": "320"}
TIMM = {
    **{name: name for name in _SAME.split()},
    **{f"resnet{depth}_d": f"resnet{depth}d" for depth in (18, 34, 50, 101, 152)},
    **{f"preresnet{depth}": f"resnetv2_{depth}" for depth in (50, 101, 152)},
    **{f"se_resnet{depth}": f"seresnet{depth}" for depth in (50, 101, 152)},
    **{f"se_resnet{depth}_caffe": f"legacy_seresnet{depth}" for depth in (50, 101, 152)},
    **{f"se_resnext{depth}_32x4d": f"seresnext{depth}_32x4d" for depth in (50, 101)},
    **{f"se_resnext{depth}_32x4d_caffe": f"legacy_seresnext{depth}_32x4d" for depth in (50, 101)},
    "senet154": "legacy_senet154",
    "xception": "legacy_xception",
    "mobilenet_v1_relu6": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    **{f"mobilenet_v2_{width}": f"mobilenetv2_{width}" for width in ("035", "050", "075", "140")},
    "mnasnet0_5": "mnasnet_050",
    "mnasnet0_75": "mnasnet_075",
    "mnasnet1_0": "mnasnet_100",
    **{f"efficientnet_lite{number}": f"tf_efficientnet_lite{number}" for number in range(5)},
    "nasnet_a_large": "nasnetalarge",
    "pnasnet5_large": "pnasnet5large",
    **{f"regnet_{form}_{ours}": f"regnet{form}_{theirs}" for form in "xy" for ours, theirs in _REGNET.items()},
    "regnet_x_400mf": "regnetx_004_tv",
    "regnet_y_400mf": "regnety_004",
    "regnet_x_800mf": "regnetx_008",
    "regnet_y_800mf": "regnety_008_tv",
    "regnet_x_8gf": "regnetx_080",
    "regnet_y_8gf": "regnety_080_tv",
    "regnet_y_128gf": "regnety_1280",
}
# torchvision's published DenseNets write `norm.1` for the present `norm1`.
_OLD_NAMES = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
_AUXILIARY = ("googlenet", "inception_v3")  # torchvision's functions that take `aux_logits`


def installed(library: Library) -> bool:
    """Whether the library is installed."""
    return find_spec(library) is not None


def peer_name(library: Library, name: str) -> str | None:
    """The library's name for our network `name`; None if the library has no network that computes the same."""
    if library == "timm":
        return TIMM.get(name)
    import torchvision.models as models

    return name if name in models.list_models(module=models) else None


def make_peer(
    library: Library, name: str, *, classes: int = 1000, channels: int = 3, auxiliary: bool = True, device: str = "meta"
) -> nn.Module:
    """The library's module of our network `name`, on "meta" without values or with random weights.

    `auxiliary` False leaves out the auxiliary heads. torchvision's networks take 3 `channels` only.
    """
    theirs = peer_name(library, name)
    if theirs is None or not installed(library):
        raise CheckFailed(f"{library} has no network that computes what {name} does, or is not installed")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # These functions warn about how they draw weights, which nothing here uses.
        warnings.simplefilter("ignore")
        if library == "timm":
            import timm

            with torch.device(device):
                return timm.create_model(theirs, pretrained=False, num_classes=classes, in_chans=channels)
        import torchvision.models as models

        arguments = {"num_classes": classes, **peer_arguments(name, auxiliary)}
        try:
            with torch.device(device):
                return models.get_model(theirs, weights=None, **arguments)
        except NotImplementedError:
            # torchvision computes the widths of a RegNet with tensors, which have no values on "meta".
            return models.get_model(theirs, weights=None, **arguments).to(device)


def peer_arguments(name: str, auxiliary: bool) -> dict[str, Any]:
    """The arguments of torchvision's `get_model` besides the number of classes."""
    return {"aux_logits": False} if name in _AUXILIARY and not auxiliary else {}


@cache
def keys_of(library: Library, name: str) -> frozenset[str]:
    """The library's own `state_dict` keys for our network `name`; empty if it has no such network."""
    if peer_name(library, name) is None or not installed(library):
        return frozenset()
    return frozenset(make_peer(library, name).state_dict())


@cache
def names_of(library: Library, name: str) -> Mapping[str, str]:
    """A map of the library's `state_dict` keys to ours, for our network `name`.

    timm executes layers in its own order, so its map is checked: with the same random weights both networks must give
    the same outputs. Raises `CheckFailed` if the library has no such network or computes something else.
    """
    if name not in NETWORKS:
        raise CheckFailed(f"{name} is not a network of the zoo")
    tree = network(name)
    shape = tuple(tree.input)
    if library == "torchvision":
        return name_map(make_peer(library, name), build(tree, device="meta"), shape)
    reasons: list[str] = []
    for order in (tree, _sums_reversed(tree)):
        try:
            pairs = name_map(make_peer(library, name), build(order, device="meta"), shape)
            check_equal(make_peer(library, name), build(tree, device="meta"), pairs)
        except ConvsmithError as error:
            reasons.append(str(error))
        else:
            return pairs
    raise CheckFailed(reasons[0])


def current(key: str) -> str:
    """The present name of a key of an old file."""
    match = _OLD_NAMES.fullmatch(key)
    return match[1] + match[2] if match else key


def check_equal(peer: nn.Module, ours: BuiltNetwork, pairs: Mapping[str, str]) -> None:
    """Fill two "meta" networks with the same random weights; raises `CheckFailed` if their outputs differ."""
    state, own = _random_state(peer), ours.state_dict()
    peer.load_state_dict(state, assign=True)
    mine = {pairs[key]: value.view(own[pairs[key]].shape) for key, value in state.items() if key in pairs}
    ours.load_state_dict(mine, assign=True, strict=False)
    x = torch.randn((1, *ours.tree.input), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, received = peer.eval()(x), ours.eval()(x)
    share = float((received - expected).abs().max() / expected.abs().max())
    if not share <= TOLERANCE:
        raise CheckFailed(f"{ours.tree.name}: with the same weights the outputs differ by {share:.1e} of the largest")


def _random_state(module: nn.Module) -> dict[str, Tensor]:
    """Random values that keep activations near one, running statistics too, so that every setting has an effect."""
    generator = torch.Generator().manual_seed(0)
    state = dict[str, Tensor]()
    for key, like in module.state_dict().items():
        if not like.is_floating_point():
            state[key] = torch.zeros_like(like, device="cpu")
        elif like.dim() > 1 and like[0].numel() > 1:
            state[key] = torch.randn(like.shape, generator=generator) * (2 / like[0].numel()) ** 0.5
        elif key.endswith(("weight", "running_var")):
            state[key] = torch.rand(like.shape, generator=generator) + 0.5
        else:
            state[key] = torch.randn(like.shape, generator=generator) * 0.1
    return state


def _sums_reversed(tree: Network) -> Network:
    """The network with the terms of each sum evaluated in reverse order; names stay."""

    def change(path: str, node: Node) -> Node:
        return Add(tuple(reversed(node.children))) if isinstance(node, Add) else node

    return replace(tree, stages=tuple((name, rewrite(stage, change, name)) for name, stage in tree.stages))
