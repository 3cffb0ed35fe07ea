"""AlexNet (Krizhevsky et al. 2012) in several published forms, which differ in their sizes."""

from dataclasses import replace
from typing import Literal

from convsmith.nets.families.scaling import wider_stages
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm, Conv, LocalResponseNorm, MaxPool
from convsmith.nets.parts import RELU, dense_head, padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, rewrite, seq, walk


def alexnet(
    *,
    widths: tuple[int, ...] = (64, 192, 384, 256, 256),
    padding: int = 2,
    groups: int = 1,
    norm: Literal["none", "before_pool", "after_pool", "batch"] = "none",
    grid: int | None = 6,
    drop_first: bool = True,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """AlexNet (Krizhevsky et al. 2012, section 3.5); the numbers select a published form.

    Five convolutions of `widths`, the first 11x11 with stride 4 and `padding`; `groups` splits the second, fourth and
    fifth into the paper's two columns; `norm` places the local response normalization (the paper: before pooling), or
    is "batch" for batch normalization of every layer but the last.
    """
    batch_norm = BatchNorm(eps=1e-3) if norm == "batch" else None

    def pooled(number: int) -> dict[str, Node | None]:
        lrn = LocalResponseNorm() if number < 3 and norm in ("before_pool", "after_pool") else None
        before, after = (lrn, None) if norm == "before_pool" else (None, lrn)
        return {f"norm{number}": before, f"pool{number}": MaxPool(3, 2), f"post_norm{number}": after}

    def conv(number: int, kernel: int, groups: int = 1) -> dict[str, Node | None]:
        layer = Conv(widths[number - 1], kernel, padding=kernel // 2, groups=groups)
        return {f"conv{number}": layer, f"batch_norm{number}": batch_norm, f"act{number}": RELU}

    conv1 = Conv(widths[0], 11, 4, padding=padding)
    first: dict[str, Node | None] = {"conv1": conv1, "batch_norm1": batch_norm, "act1": RELU}
    stages: tuple[tuple[str, Node], ...] = (
        ("stage1", seq(**first, **pooled(1))),
        ("stage2", seq(**conv(2, 5, groups), **pooled(2))),
        ("stage3", seq(**conv(3, 3), **conv(4, 3, groups), **conv(5, 3, groups), **pooled(3))),
    )
    head = dense_head((4096, 4096), classes, grid=grid, drop_first=drop_first, norm=batch_norm)
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
    batch = next((node for _, node in walk(dict(network.heads)[MAIN]) if isinstance(node, BatchNorm)), None)
    head = dense_head((4096, 4096), network.classes, grid=3, drop_first=True, norm=batch)
    return replace(network, stages=stages, heads=((MAIN, head),))


ALEXNET = Family("alexnet", alexnet, small_images=small_alexnet, widen=wider_stages)
_FULL = {"widths": (96, 256, 384, 384, 256), "padding": 0, "grid": None, "drop_first": False}
NETWORKS = {
    "alexnet": Row(ALEXNET, 2014, "one column, 64-192-384-256-256 (torchvision)"),
    "alexnet_bn": Row(
        ALEXNET, 2015, "alexnet with batch normalization of all but the last layer (soumith/imagenet-multiGPU.torch)",
        {"norm": "batch"},
    ),
    "alexnet_2012": Row(
        ALEXNET, 2012, "the paper: two columns as groups, normalization before pooling, 227-pixel images",
        {**_FULL, "groups": 2, "norm": "before_pool", "size": 227},
    ),
    "alexnet_cs231n": Row(
        ALEXNET, 2012, "CS231n: one column of full width, normalization after pooling, 227-pixel images",
        {**_FULL, "norm": "after_pool", "size": 227},
    ),
    "alexnet_d2l": Row(
        ALEXNET, 2012, "Dive into Deep Learning: one column of full width, no normalization, 5x5 features", _FULL
    ),
}  # fmt: skip
