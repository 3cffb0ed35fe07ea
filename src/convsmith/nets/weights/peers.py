"""The same networks in torchvision and timm: what they are called there, and how their weights' names become ours."""

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
TOLERANCE = 1e-4  # of the largest output: sums in another order differ by some 1e-6, another eps by more than this

# Our name and timm's. Its forms differ in small things (padding, eps), and where one computes something else than our
# network of that name (its efficientnet_b5, mobilenetv3_large_100, ...) it has no line here.
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
# torchvision's published DenseNets write `norm.1` for what is `norm1` since.
_OLD_NAMES = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
_AUXILIARY = ("googlenet", "inception_v3")  # torchvision's functions that take `aux_logits`


def installed(library: Library) -> bool:
    """Whether the library is there to be asked."""
    return find_spec(library) is not None


def peer_name(library: Library, name: str) -> str | None:
    """What `library` calls the network that we call `name`; None where it has none that computes the same."""
    if library == "timm":
        return TIMM.get(name)
    import torchvision.models as models

    return name if name in models.list_models(module=models) else None


def make_peer(
    library: Library, name: str, *, classes: int = 1000, channels: int = 3, auxiliary: bool = True, device: str = "meta"
) -> nn.Module:
    """The library's network that we call `name`, without weights of its own (on "meta") or with random ones.

    `auxiliary` False leaves the heads out that only training uses; torchvision's networks take 3 `channels` only.
    """
    theirs = peer_name(library, name)
    if theirs is None or not installed(library):
        raise CheckFailed(f"{library} has no network that computes what {name} does, or is not installed")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # What these functions warn about is how they draw weights that nobody will see.
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
            # torchvision works out RegNet's widths with tensors, which on "meta" have no values.
            return models.get_model(theirs, weights=None, **arguments).to(device)


def peer_arguments(name: str, auxiliary: bool) -> dict[str, Any]:
    """What torchvision's `get_model` needs besides the number of classes."""
    return {"aux_logits": False} if name in _AUXILIARY and not auxiliary else {}


@cache
def keys_of(library: Library, name: str) -> frozenset[str]:
    """The library's own `state_dict` keys for the network that we call `name`; none where it has no such network."""
    if peer_name(library, name) is None or not installed(library):
        return frozenset()
    return frozenset(make_peer(library, name).state_dict())


@cache
def names_of(library: Library, name: str) -> Mapping[str, str]:
    """The library's `state_dict` keys to ours, for the network that we call `name`.

    timm orders its calculations as it likes, so its map is one under which both give the same outputs for random
    weights. Raises `CheckFailed` where the library has no such network or computes something else.
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
    """A key of an old file as it is today."""
    match = _OLD_NAMES.fullmatch(key)
    return match[1] + match[2] if match else key


def check_equal(peer: nn.Module, ours: BuiltNetwork, pairs: Mapping[str, str]) -> None:
    """Fill both, which are on "meta", with the same random weights; raises `CheckFailed` where their outputs differ."""
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
    """Values that keep activations near one, statistics of normalizations too, so that no setting stays unseen."""
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
    """The network with the summands of each sum evaluated in the opposite order; all names stay."""

    def change(path: str, node: Node) -> Node:
        return Add(tuple(reversed(node.children))) if isinstance(node, Add) else node

    return replace(tree, stages=tuple((name, rewrite(stage, change, name)) for name, stage in tree.stages))
