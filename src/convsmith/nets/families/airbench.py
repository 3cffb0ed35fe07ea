"""The network of the CIFAR-10 speed records (Jordan 2024), after Page's and Balsam's."""

from convsmith.nets.families.scaling import wider_stages
from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, AdaptiveMaxPool, BatchNorm, Conv, Flatten, Linear, MaxPool, Scale
from convsmith.nets.parts import padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Seq, seq

_NORM = BatchNorm(eps=1e-12, momentum=0.4)
_ACT = Act("gelu")
_PATCH = 2  # side of the patches that the first convolution whitens
WIDTHS = (64, 256, 256)


def airbench(
    *, widths: tuple[int, ...] = WIDTHS, scale: float = 1 / 9, classes: int = 10, channels: int = 3, size: int = 32
) -> Network:
    """The network of "94% on CIFAR-10 in 3.29 seconds on a single GPU" (Jordan 2024, section 3.1 and appendix A).

    A 2x2 convolution, which a recipe's `whiten` sets to whiten patches; stages of two 3x3 convolutions with one
    pooling, initialized as the identity as far as possible; the maximum over the last 3x3 positions; outputs times
    `scale`.
    """
    whiten = seq(conv=Conv(2 * channels * _PATCH**2, _PATCH, bias=True), act=_ACT)
    stages = tuple((f"stage{i}", _stage(width)) for i, width in enumerate(widths, 1))
    head = seq(pool=AdaptiveMaxPool(1), flatten=Flatten(), linear=Linear(classes, bias=False), scale=Scale(scale))
    return Network(
        name="airbench",
        family="airbench",
        input=Shape(channels, (size, size)),
        init="dirac",
        stages=(("whiten", whiten), *stages),
        heads=((MAIN, head),),
    )


def _stage(width: int) -> Seq:
    return seq(
        conv1=padded_conv(width, 3), pool=MaxPool(2, 2), norm1=_NORM, act1=_ACT,
        conv2=padded_conv(width, 3), norm2=_NORM, act2=_ACT,
    )  # fmt: skip


AIRBENCH = Family("airbench", airbench, widen=wider_stages)
NETWORKS = {
    "airbench_cifar": Row(AIRBENCH, 2024, "whitened 2x2 patches, then widths 64, 256 and 256", {"widths": WIDTHS}),
    "airbench_half_cifar": Row(
        AIRBENCH, 2024, "half as wide, for processors without matrix units", {"widths": (32, 128, 128)}
    ),
}
