"""CNN-F, -M and -S (Chatfield et al. 2014, "Return of the devil in the details"), known as VGG-F, -M and -S."""

from dataclasses import replace

from convsmith.nets.families.scaling import wider_stages
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, LocalResponseNorm, MaxPool
from convsmith.nets.parts import RELU, dense_head, padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Node, rewrite, seq


def vgg_fms(
    *,
    kernels: tuple[int, ...],
    widths: tuple[int, ...],
    strides: tuple[int, ...],
    padding: int,
    pools: tuple[int, ...],
    pool_strides: tuple[int, ...],
    norms: int = 2,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """CNN-F, -M or -S (table 1; paddings and pools as in the published Caffe models): features of 6x6.

    Five convolutions of `widths`: the first two with `kernels` and `strides`, the second with `padding`, the others
    3x3. Pools of `pools` and `pool_strides` follow the first two and the last; they round sizes up. Local response
    normalization comes before the first `norms` pools.
    """

    def pool(number: int) -> MaxPool:
        return MaxPool(pools[number], pool_strides[number], ceil=True)

    def norm(number: int) -> LocalResponseNorm | None:
        return LocalResponseNorm() if number < norms else None

    conv1 = Conv(widths[0], kernels[0], strides[0])
    conv2 = Conv(widths[1], kernels[1], strides[1], padding)
    stages: tuple[tuple[str, Node], ...] = (
        ("stage1", seq(conv1=conv1, act1=RELU, norm1=norm(0), pool1=pool(0))),
        ("stage2", seq(conv2=conv2, act2=RELU, norm2=norm(1), pool2=pool(1))),
        (
            "stage3",
            seq(
                conv3=padded_conv(widths[2], 3, bias=True), act3=RELU,
                conv4=padded_conv(widths[3], 3, bias=True), act4=RELU,
                conv5=padded_conv(widths[4], 3, bias=True), act5=RELU,
                pool5=pool(2),
            ),
        ),
    )  # fmt: skip
    head = dense_head((4096, 4096), classes, grid=None, drop_first=False)
    return Network(
        name="vgg_fms",
        family="vgg_fms",
        input=Shape(channels, (size, size)),
        init="he_in",
        stages=stages,
        heads=((MAIN, head),),
    )


def small_vgg_fms(network: Network) -> Network:
    """CNN-F, -M or -S for images of about 32 pixels: its first two convolutions are 5x5 and keep the size.

    Features end at 4x4, in CNN-S at 2x2.
    """

    def change(path: str, node: Node) -> Node:
        if path in ("stage1.conv1", "stage2.conv2") and isinstance(node, Conv):
            return padded_conv(node.channels, 5, bias=True)
        return node

    return replace(network, stages=tuple((name, rewrite(node, change, name)) for name, node in network.stages))


VGG_FMS = Family("vgg_fms", vgg_fms, small_images=small_vgg_fms, widen=wider_stages)
# kernels, strides of the first two convolutions, padding of the second, widths, pools, their strides, normalizations
_TABLE = {
    "vgg_f": ("fast", (11, 5), (4, 1), 2, (64, 256, 256, 256, 256), (3, 3, 3), (2, 2, 2), 2),
    "vgg_m": ("medium", (7, 5), (2, 2), 1, (96, 256, 512, 512, 512), (3, 3, 3), (2, 2, 2), 2),
    "vgg_s": ("slow", (7, 5), (2, 1), 0, (96, 256, 512, 512, 512), (3, 2, 3), (3, 2, 3), 1),
}
_NUMBERS = ("kernels", "strides", "padding", "widths", "pools", "pool_strides", "norms")
NETWORKS = {
    name: Row(VGG_FMS, 2014, f"CNN-{name[-1].upper()}, the {pace} one of three", dict(zip(_NUMBERS, row, strict=True)))
    for name, (pace, *row) in _TABLE.items()
}
