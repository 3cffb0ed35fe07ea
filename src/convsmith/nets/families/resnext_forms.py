"""The three equivalent forms of a ResNeXt block's branch (Xie et al. 2017, figure 3).

Form (c) is the branch of `resnet` with `groups`; (a) and (b) compute the same. Each path has its inner normalizations;
the last normalization follows the sum or concatenation.
"""

from dataclasses import dataclass

from convsmith.nets.families.residual import bottleneck
from convsmith.nets.ops import BatchNorm
from convsmith.nets.parts import RELU, padded_conv
from convsmith.nets.tree import Seq, add, cat, seq


@dataclass(frozen=True)
class Part:
    """The source of a tensor of form (a) or (b): `length` entries of (c)'s `tensor` along `axis`, from `start`."""

    tensor: str
    axis: int
    start: int
    length: int


def separate(groups: int, width: int, channels: int) -> Seq:
    """(a) `groups` paths of a 1x1 to `width` channels, a 3x3 and a 1x1 to `channels`, summed."""
    paths = {
        f"path{i}": seq(**dict(_narrow(width).children), conv3=padded_conv(channels)) for i in range(1, groups + 1)
    }
    return seq(paths=add(**paths), norm3=BatchNorm())


def concatenated(groups: int, width: int, channels: int) -> Seq:
    """(b) `groups` paths of a 1x1 to `width` channels and a 3x3, concatenated before one 1x1."""
    paths = {f"path{i}": _narrow(width) for i in range(1, groups + 1)}
    return seq(paths=cat(**paths), conv3=padded_conv(channels), norm3=BatchNorm())


def grouped(groups: int, width: int, channels: int) -> Seq:
    """(c) A 1x1 to `groups` * `width` channels, a 3x3 in groups, a 1x1."""
    return bottleneck(groups * width, channels, 1, "3x3", groups)


def _narrow(width: int) -> Seq:
    return seq(
        conv1=padded_conv(width), norm1=BatchNorm(), act1=RELU,
        conv2=padded_conv(width, 3), norm2=BatchNorm(), act2=RELU,
    )  # fmt: skip


def split_weights(groups: int, width: int) -> dict[str, Part]:
    """By tensor of the paths of (a), the part of (c) that gives the same outputs; (b) has no `conv3` in its paths.

    Tensors outside the map have the same name in all forms.
    """
    parts: dict[str, Part] = {}
    for i in range(groups):
        start = i * width
        for layer in ("conv1", "conv2"):
            parts[f"paths.path{i + 1}.{layer}.weight"] = Part(f"{layer}.weight", 0, start, width)
        for norm in ("norm1", "norm2"):
            for tensor in ("weight", "bias", "running_mean", "running_var"):
                parts[f"paths.path{i + 1}.{norm}.{tensor}"] = Part(f"{norm}.{tensor}", 0, start, width)
        parts[f"paths.path{i + 1}.conv3.weight"] = Part("conv3.weight", 1, start, width)
    return parts
