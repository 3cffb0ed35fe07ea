"""LeNet-5, AlexNet and VGG: stacks of convolutions, then fully connected layers."""

from dataclasses import replace
from typing import Literal

from convsmith.nets.network import Network
from convsmith.nets.ops import (
    Act,
    Affine,
    AvgPool,
    BatchNorm,
    Conv,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool,
    Rbf,
    Take,
)
from convsmith.nets.parts import RELU, dense_head, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, Seq, cat, rewrite, seq

# ---------------------------------------------------------------------------------------------------------------- LeNet

# Which S2 maps each C3 map sees: LeCun et al. 1998, table I (read by columns).
C3_CONNECTIONS: tuple[tuple[int, ...], ...] = (
    *(tuple(sorted((i + j) % 6 for j in range(3))) for i in range(6)),
    *(tuple(sorted((i + j) % 6 for j in range(4))) for i in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


def lenet5(
    *, act: str = "tanh", act_conv3: bool = True, classes: int = 10, channels: int = 1, size: int = 32
) -> Network:
    """LeNet-5 as teaching tables list it: full connections, plain average pooling, a linear output.

    The three lecture forms: `act_conv3` False is the PyTorch listing, which leaves out the activation after the third
    convolution. The table leaves that of the first linear layer blank; the paper's tanh stands there.
    """
    stages = (
        seq(conv=Conv(6, 5), act=Act(act), pool=AvgPool(2, 2)),
        seq(conv=Conv(16, 5), act=Act(act), pool=AvgPool(2, 2)),
        seq(conv=Conv(120, 5), act=Act(act) if act_conv3 else None),
    )
    head = seq(flatten=Flatten(), linear1=Linear(84), act1=Act(act), linear2=Linear(classes))
    return _lenet("lenet5", Shape(channels, (size, size)), stages, head)


def lenet5_d2l(*, classes: int = 10, channels: int = 1, size: int = 28) -> Network:
    """LeNet of "Dive into Deep Learning" (section 7.6): 28-pixel images, padded first convolution, sigmoid."""
    act = Act("sigmoid")
    stages = (
        seq(conv=Conv(6, 5, padding=2), act=act, pool=AvgPool(2, 2)),
        seq(conv=Conv(16, 5), act=act, pool=AvgPool(2, 2)),
    )
    hidden = {"linear1": Linear(120), "act1": act, "linear2": Linear(84), "act2": act}
    head = seq(flatten=Flatten(), **hidden, linear3=Linear(classes))
    return _lenet("lenet5_d2l", Shape(channels, (size, size)), stages, head, init="xavier")


def lenet5_1998(*, classes: int = 10, channels: int = 1, size: int = 32) -> Network:
    """LeNet-5 of LeCun et al. 1998, section II-B: 60,000 trainable parameters.

    Subsampling has a learnt coefficient and bias, the third layer sees only some of the maps (table I), activations are
    1.7159 tanh(2x/3), and the output is the distance to fixed codes. The paper drew its codes by hand; ours are random
    +1 and -1, which it names as the alternative.
    """
    squash = Act("scaled_tanh")
    subsample = {"pool": AvgPool(2, 2), "affine": Affine(), "act2": squash}
    partial = cat(**{f"map{i}": seq(take=Take(maps), conv=Conv(1, 5)) for i, maps in enumerate(C3_CONNECTIONS, 1)})
    stages = (
        seq(conv=Conv(6, 5), act1=squash, **subsample),
        seq(conv=partial, act1=squash, **subsample),
        seq(conv=Conv(120, 5), act1=squash),
    )
    head = seq(flatten=Flatten(), linear=Linear(84), act=squash, rbf=Rbf(classes))
    return _lenet("lenet5_1998", Shape(channels, (size, size)), stages, head)


def _lenet(name: str, input: Shape, stages: tuple[Seq, ...], head: Seq, init: str = "lecun") -> Network:
    named = tuple((f"stage{i}", stage) for i, stage in enumerate(stages, 1))
    return Network(name=name, family="lenet", input=input, init=init, stages=named, heads=((MAIN, head),))


# -------------------------------------------------------------------------------------------------------------- AlexNet


def alexnet(
    *,
    widths: tuple[int, ...] = (64, 192, 384, 256, 256),
    padding: int = 2,
    groups: int = 1,
    norm: Literal["none", "before_pool", "after_pool"] = "none",
    grid: int | None = 6,
    drop_first: bool = True,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """AlexNet (Krizhevsky et al. 2012, section 3.5) in the forms that are told apart by their sizes.

    Five convolutions of `widths`, the first 11x11 with stride 4 and `padding`; `groups` splits the second, fourth and
    fifth into the paper's two columns; `norm` places the local response normalisation (the paper: before pooling).
    """

    def pooled(number: int) -> dict[str, Node | None]:
        lrn = LocalResponseNorm() if number < 3 and norm != "none" else None
        before, after = (lrn, None) if norm == "before_pool" else (None, lrn)
        return {f"norm{number}": before, f"pool{number}": MaxPool(3, 2), f"post_norm{number}": after}

    def conv(number: int, kernel: int, groups: int = 1) -> dict[str, Node | None]:
        layer = Conv(widths[number - 1], kernel, padding=kernel // 2, groups=groups)
        return {f"conv{number}": layer, f"act{number}": RELU}

    first: dict[str, Node | None] = {"conv1": Conv(widths[0], 11, 4, padding=padding), "act1": RELU}
    stages: tuple[tuple[str, Node], ...] = (
        ("stage1", seq(**first, **pooled(1))),
        ("stage2", seq(**conv(2, 5, groups), **pooled(2))),
        ("stage3", seq(**conv(3, 3), **conv(4, 3, groups), **conv(5, 3, groups), **pooled(3))),
    )
    head = dense_head((4096, 4096), classes, grid=grid, drop_first=drop_first)
    return Network(
        name="alexnet", family="alexnet", input=Shape(channels, (size, size)), stages=stages, heads=((MAIN, head),)
    )


def small_alexnet(network: Network) -> Network:
    """AlexNet for images of about 32 pixels: a 5x5 first convolution with stride 1, features pooled to 3x3."""

    def change(path: str, node: Node) -> Node:
        if path == "stage1.conv1" and isinstance(node, Conv):
            return padded_conv(node.channels, 5, bias=True)
        return node

    stages = tuple((name, rewrite(node, change, name)) for name, node in network.stages)
    head = dense_head((4096, 4096), network.classes, grid=3, drop_first=True)
    return replace(network, stages=stages, heads=((MAIN, head),))


# ------------------------------------------------------------------------------------------------------------------ VGG


def vgg(
    *,
    depths: tuple[int, ...],
    norm: bool = False,
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """VGG (Simonyan and Zisserman 2015, table 1): five stages of 3x3 convolutions, halved by pooling, doubled in width.

    `depths` counts the convolutions of each stage: (2, 2, 3, 3, 3) is configuration D, VGG-16.
    """
    stages = tuple(
        (f"stage{i}", _vgg_stage(depth, width, norm))
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True), 1)
    )
    head = dense_head((4096, 4096), classes, grid=7, drop_first=False)
    return Network(
        name="vgg", family="vgg", input=Shape(channels, (size, size)), init="vgg", stages=stages, heads=((MAIN, head),)
    )


def _vgg_stage(depth: int, width: int, norm: bool) -> Seq:
    children: dict[str, Node | None] = {}
    for i in range(1, depth + 1):
        conv = padded_conv(width, 3, bias=True)
        children |= {f"conv{i}": conv, f"norm{i}": BatchNorm() if norm else None, f"act{i}": RELU}
    return seq(**children, pool=MaxPool(2, 2))


def small_vgg(network: Network) -> Network:
    """VGG for images of about 32 pixels: the same convolutions, then one linear layer on their single position."""
    return replace(network, heads=((MAIN, pooled_head(network.classes)),))
