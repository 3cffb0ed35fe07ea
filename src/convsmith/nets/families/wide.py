"""Wide residual networks for CIFAR (Zagoruyko and Komodakis 2016); `resnet.py` has the ImageNet forms."""

from convsmith.base.errors import UsageError
from convsmith.nets.families.preactivation import preactivated, preactivation_stages
from convsmith.nets.families.residual import deeper
from convsmith.nets.family import Family, Numbers, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv
from convsmith.nets.parts import padded_conv
from convsmith.nets.shape import Shape
from convsmith.nets.tree import seq


def wide_resnet_cifar(*, depth: int, widening: float, classes: int = 10, channels: int = 3, size: int = 32) -> Network:
    """WRN-depth-widening (table 1): three stages of n pre-activation blocks of two 3x3, `widening` * 16 to 64 wide.

    The depth, 6n + 4, counts the 1x1 convolutions in the shortcuts too. Dropout between the two convolutions (section
    2.4) is the edit `dropout(0.3, 'branch')`.
    """
    if depth < 10 or (depth - 4) % 6:
        raise UsageError(f"a wide ResNet has 6n + 4 layers (10, 16, 22, 28, ...), received depth {depth}")
    if not widening > 0:
        raise UsageError(f"widening is {widening}, expected a factor above 0, such as 10")
    widths = [max(1, round(16 * 2**i * widening)) for i in range(3)]

    def convolutions(i: int, stride: int) -> list[Conv]:
        return [padded_conv(widths[i], 3, stride), padded_conv(widths[i], 3)]

    stages = preactivation_stages(16, ((depth - 4) // 6,) * 3, convolutions)
    stem = seq(conv=padded_conv(16, 3))
    return preactivated("wide_resnet_cifar", Shape(channels, (size, size)), stem, stages, classes)


def _wider(numbers: Numbers, factor: float) -> Numbers:
    return {**numbers, "widening": numbers["widening"] * factor}


WIDE_RESNET_CIFAR = Family("wide_resnet_cifar", wide_resnet_cifar, widen=_wider, deepen=deeper(6, 4))


def _row(depth: int, widening: int, *edits: str) -> Row:
    note = f"{depth} layers, {widening} times as wide as a CIFAR ResNet{', with dropout' if edits else ''}"
    return Row(WIDE_RESNET_CIFAR, 2016, note, {"depth": depth, "widening": widening}, edits)


NETWORKS = {
    "wrn16_8_cifar": _row(16, 8),
    "wrn28_10_cifar": _row(28, 10),
    "wrn28_10_dropout_cifar": _row(28, 10, "dropout(0.3, 'branch')"),
    "wrn40_4_cifar": _row(40, 4),
}
