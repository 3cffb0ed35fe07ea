"""Networks with squeeze and excitation (Hu et al. 2018): other families with the edit `se`, and SENet-154."""

from convsmith.nets.families.residual import assembled, imagenet_stem, residual_stages, small_stem
from convsmith.nets.families.resnet import IMAGENET, RESNET, RESNET_CIFAR, SENET_NAMES, imagenet_numbers
from convsmith.nets.families.scaling import deeper_stages
from convsmith.nets.families.vgg import VGG
from convsmith.nets.family import Family, Numbers, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import RELU, padded_conv, squeeze_excite
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Seq, seq


def senet(
    *,
    depths: tuple[int, ...] = (3, 8, 36, 3),
    groups: int = 64,
    base_width: int = 4,
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
) -> Network:
    """SENet-154 (Hu et al. 2018, section 6.5 and appendix): ResNeXt-152 64x4d with a gate in each unit and more.

    The stem has three 3x3, the first 1x1 of a bottleneck is half as wide as its 3x3, shortcuts that halve the size are
    3x3 convolutions, dropout 0.2 comes before the classifier. The authors' Caffe files round the first pooling up.
    """
    inner, outer = ([first * 2**i for i in range(len(depths))] for first in (groups * base_width, 256))

    def branch(i: int, stride: int) -> Seq:
        return seq(
            conv1=padded_conv(inner[i] // 2), norm1=BatchNorm(), act1=RELU,
            conv2=padded_conv(inner[i], 3, stride, groups=groups), norm2=BatchNorm(), act2=RELU,
            conv3=padded_conv(outer[i]), norm3=BatchNorm(),
            se=squeeze_excite(outer[i], outer[i] // 16),
        )  # fmt: skip

    stages = residual_stages(128, depths, outer, branch, "projection_3x3")
    stem = imagenet_stem((64, 64, 128), ceil_pool=True)
    return assembled("senet", Shape(channels, (size, size)), stem, stages, classes, drop=0.2)


def _wider(numbers: Numbers, factor: float) -> Numbers:
    """`factor` times the width of the groups, which stays even: the convolution before has half as many channels."""
    return {**numbers, "base_width": 2 * max(1, round(numbers["base_width"] * factor / 2))}


SENET = Family("senet", senet, small_images=small_stem, widen=_wider, deepen=deeper_stages, renamings=(SENET_NAMES,))

_SE = ("se(16)",)
_CAFFE = "as in the authors' Caffe files: pooling after the stem rounded up"


def _rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for name, (block, _) in IMAGENET.items():
        numbers = imagenet_numbers(name)
        rows[f"se_resnet{name}"] = Row(RESNET, 2017, f"resnet{name} with squeeze and excitation", numbers, _SE)
        if block == "bottleneck":
            authors = {**numbers, "stride_in": "1x1", "ceil_pool": True}
            note = f"{_CAFFE}, stride in the first 1x1"
            rows[f"se_resnet{name}_caffe"] = Row(RESNET, 2017, note, authors, _SE)
    for name in ("50", "101"):
        numbers = {**imagenet_numbers(name), "groups": 32, "base_width": 4}
        note = f"resnext{name}_32x4d with squeeze and excitation"
        rows[f"se_resnext{name}_32x4d"] = Row(RESNET, 2017, note, numbers, _SE)
        rows[f"se_resnext{name}_32x4d_caffe"] = Row(RESNET, 2017, _CAFFE, {**numbers, "ceil_pool": True}, _SE)
    numbers = {"depths": (2, 2, 3, 3, 3), "norm": True}
    rows["se_vgg16_bn"] = Row(VGG, 2017, "vgg16_bn with a gate after each convolution", numbers, _SE)
    rows["senet154"] = Row(SENET, 2017, "ResNeXt-152 64x4d with gates and another stem, first of ILSVRC 2017")
    for depth in (20, 110):
        note = f"resnet{depth}_cifar with squeeze and excitation"
        rows[f"se_resnet{depth}_cifar"] = Row(RESNET_CIFAR, 2017, note, {"depth": depth}, _SE)
    return rows


NETWORKS = _rows()
