"""VGG (Simonyan and Zisserman 2015)."""

from dataclasses import replace

from convsmith.nets.families.scaling import deeper_stages, wider_stages
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, MaxPool
from convsmith.nets.parts import RELU, dense_head, padded_conv, pooled_head
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, Seq, seq


def vgg(
    *,
    depths: tuple[int, ...],
    norm: bool = False,
    widths: tuple[int, ...] = (64, 128, 256, 512, 512),
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """VGG (Simonyan and Zisserman 2015, table 1): five stages of 3x3 convolutions; pooling halves the size.

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
    """VGG for images of about 32 pixels: the same convolutions, then one linear layer on the last, single position."""
    return replace(network, heads=((MAIN, pooled_head(network.classes)),))


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, configuration, depths in (
        ("11", "A", (1, 1, 2, 2, 2)),
        ("13", "B", (2, 2, 2, 2, 2)),
        ("16", "D", (2, 2, 3, 3, 3)),
        ("19", "E", (2, 2, 4, 4, 4)),
    ):
        note, numbers = f"configuration {configuration}", {"depths": depths}
        rows[f"vgg{name}"] = Row(VGG, 2014, note, numbers)
        numbers = {**numbers, "norm": True}
        rows[f"vgg{name}_bn"] = Row(VGG, 2015, f"{note}, with batch normalization", numbers)
        cifar = {**numbers, "classes": 10, "size": 32}
        note = f"vgg{name}_bn for 32-pixel images: one linear layer on 512 features"
        rows[f"vgg{name}_bn_cifar"] = Row(VGG, 2015, note, cifar, ("small_images",))
    return rows


VGG = Family("vgg", vgg, small_images=small_vgg, widen=wider_stages, deepen=deeper_stages)
NETWORKS = _rows()
