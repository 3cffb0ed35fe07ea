"""ZFNet (Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks")."""

from dataclasses import replace

from convsmith.nets.families.scaling import wider_stages
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, LocalResponseNorm, MaxPool
from convsmith.nets.parts import RELU, dense_head, padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, rewrite, seq

_POOL = MaxPool(3, 2, ceil=True)


def zfnet(
    *,
    widths: tuple[int, ...] = (96, 256, 384, 384, 256),
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """ZFNet (figure 3): AlexNet with a 7x7 first convolution of stride 2; sides 224, 110, 55, 26, 13 and 6.

    The contrast normalization after the first two pools works across feature maps: it is AlexNet's local response
    normalization. The paper gives no constants; these are AlexNet's. The paper gives no paddings; these, with pools
    that round up, give its sides.
    """
    first, second, third, fourth, fifth = widths
    stages: tuple[tuple[str, Node], ...] = (
        ("stage1", seq(conv1=Conv(first, 7, 2, padding=1), act1=RELU, pool1=_POOL, norm1=LocalResponseNorm())),
        ("stage2", seq(conv2=Conv(second, 5, 2), act2=RELU, pool2=_POOL, norm2=LocalResponseNorm())),
        (
            "stage3",
            seq(
                conv3=padded_conv(third, 3, bias=True), act3=RELU,
                conv4=padded_conv(fourth, 3, bias=True), act4=RELU,
                conv5=padded_conv(fifth, 3, bias=True), act5=RELU,
                pool5=_POOL,
            ),
        ),
    )  # fmt: skip
    head = dense_head((4096, 4096), classes, grid=None, drop_first=False)
    return Network(
        name="zfnet",
        family="zfnet",
        input=Shape(channels, (size, size)),
        init="he_in",
        stages=stages,
        heads=((MAIN, head),),
    )


def small_zfnet(network: Network) -> Network:
    """ZFNet for images of about 32 pixels: its first two convolutions are 5x5 and keep the size; features of 4x4."""

    def change(path: str, node: Node) -> Node:
        if path in ("stage1.conv1", "stage2.conv2") and isinstance(node, Conv):
            return padded_conv(node.channels, 5, bias=True)
        return node

    stages = tuple((name, rewrite(node, change, name)) for name, node in network.stages)
    return replace(network, stages=stages)


ZFNET = Family("zfnet", zfnet, small_images=small_zfnet, widen=wider_stages)
NETWORKS = {
    "zfnet": Row(ZFNET, 2013, "figure 3 of the paper: 384-384-256 in the last three convolutions"),
    "zfnet_512": Row(
        ZFNET, 2013, "the wide form of table 2, which CS231n tells of: 512-1024-512",
        {"widths": (96, 256, 512, 1024, 512)},
    ),
}  # fmt: skip
