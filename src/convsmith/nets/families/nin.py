"""Network in Network (Lin et al. 2014) for CIFAR and ImageNet, and its form with batch normalization."""

from dataclasses import replace

from convsmith.base.errors import UsageError
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import AdaptiveAvgPool, AvgPool, BatchNorm, Conv, Dropout, Flatten, MaxPool
from convsmith.nets.parts import RELU, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, Seq, seq

_EPS = 1e-3  # soumith/imagenet-multiGPU.torch, models/ninbn.lua
_POOL = MaxPool(3, 2, ceil=True)


def nin_cifar(*, classes: int = 10, channels: int = 3, size: int = 32) -> Network:
    """Network in Network for CIFAR-10: the authors' Caffe model, three stages of a convolution and two of 1x1.

    The last 1x1 convolution has a map for each class; its mean, after a ReLU, is the class's score (section 3.2).
    """
    stages = (
        ("stage1", seq(**_mlpconv(Conv(192, 5, padding=2), (160, 96)), pool=_POOL, dropout=Dropout(0.5))),
        (
            "stage2",
            seq(
                **_mlpconv(Conv(192, 5, padding=2), (192, 192)),
                pool=AvgPool(3, 2, ceil=True),
                dropout=Dropout(0.5),
            ),
        ),
        ("stage3", seq(**_mlpconv(padded_conv(192, 3, bias=True), (192,)))),
    )
    return _nin("nin_cifar", Shape(channels, (size, size)), stages, _map_head(classes))


def nin(*, norm: bool = False, classes: int = 1000, channels: int = 3, size: int = 224) -> Network:
    """Network in Network for ImageNet: the authors' Caffe model, four stages of a convolution and two of 1x1.

    `norm` is the form with batch normalization of soumith/imagenet-multiGPU.torch ("ninbn"): the first convolution and
    the pools are padded, there is no dropout, and a linear layer follows the mean of 1,024 maps.
    """
    pool = MaxPool(3, 2, padding=1) if norm else _POOL
    first = Conv(96, 11, 4, padding=5 if norm else 0)
    last = padded_conv(1024, 3, bias=True)
    stages = (
        ("stage1", seq(**_mlpconv(first, (96, 96), norm), pool=pool)),
        ("stage2", seq(**_mlpconv(Conv(256, 5, padding=2), (256, 256), norm), pool=pool)),
        (
            "stage3",
            seq(
                **_mlpconv(padded_conv(384, 3, bias=True), (384, 384), norm),
                pool=pool,
                dropout=None if norm else Dropout(0.5),
            ),
        ),
        ("stage4", seq(**_mlpconv(last, (1024, 1024) if norm else (1024,), norm))),
    )
    head = pooled_head(classes) if norm else _map_head(classes)
    return _nin("nin", Shape(channels, (size, size)), stages, head)


def _mlpconv(first: Conv, widths: tuple[int, ...], norm: bool = False) -> dict[str, Node | None]:
    """A convolution and 1x1 convolutions of `widths`, each with a ReLU: a small perceptron at every position."""
    children: dict[str, Node | None] = {}
    for i, conv in enumerate((first, *(Conv(width) for width in widths)), 1):
        children |= {f"conv{i}": conv, f"norm{i}": BatchNorm(_EPS) if norm else None, f"act{i}": RELU}
    return children


def _map_head(classes: int) -> Seq:
    """A map for each class and its mean."""
    return seq(conv=Conv(classes), act=RELU, pool=AdaptiveAvgPool(1), flatten=Flatten())


def _nin(name: str, input: Shape, stages: tuple[tuple[str, Node], ...], head: Seq) -> Network:
    return Network(name=name, family=name, input=input, init="he_in", stages=stages, heads=((MAIN, head),))


def small_nin(network: Network) -> Network:
    """Network in Network for images of about 32 pixels: a 5x5 first convolution with stride 1; features of 4x4."""
    (name, stem), *stages = network.stages
    if not isinstance(stem, Seq):
        raise UsageError(f"{network.name}: the first stage is not a chain of layers, so it cannot be changed")
    first = {"conv1": padded_conv(96, 5, bias=True)}
    return replace(network, stages=((name, seq(**(dict(stem.children) | first))), *stages))


NIN = Family("nin", nin, small_images=small_nin)
NETWORKS = {
    "nin_cifar": Row(Family("nin_cifar", nin_cifar), 2013, "three mlpconv stages, classes are the means of maps"),
    "nin": Row(NIN, 2013, "four mlpconv stages for 224-pixel images, classes are the means of maps"),
    "nin_bn": Row(NIN, 2015, "nin with batch normalization, padded pools, a linear layer at the end", {"norm": True}),
}
