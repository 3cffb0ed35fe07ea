"""Parameters and MACs of the blocks that the lectures price, counted on small trees."""

import math
from fractions import Fraction

from convsmith.nets.ops import Conv, Linear
from convsmith.nets.parts import padded_conv
from convsmith_textbook.lectures.blocks import (
    basic,
    bottleneck,
    chain,
    depthwise_separable,
    inception_naive,
    inception_reduced,
    inverted_bottleneck,
    output,
    paths,
    plain_chain,
    priced,
    split,
    squeeze_excite,
)
from convsmith_textbook.lectures.entry import Entry, Figure

C, H, W = 16, 12, 10  # arbitrary numbers
HWCC = H * W * C * C


def times(macs: int) -> Fraction | int:
    """MACs in units of H W C²."""
    ratio = Fraction(macs, HWCC)
    return ratio.numerator if ratio.denominator == 1 else ratio


def convolution() -> dict[str, object]:
    """A 5x5 layer of 100 channels on 64x64, and 10 of them for a million examples."""
    macs = priced(padded_conv(100, 5), 100, 64, 64).macs
    work = 10 * 1e6 * macs
    return {
        "MACs of the layer": macs,
        "MACs of 10 layers for 1M examples": int(work),
        "hours at 0.15 T/s": work / 0.15e12 / 3600,
        "minutes at 12 T/s": work / 12e12 / 60,
    }


def dense() -> dict[str, object]:
    """A dense layer of 100 units on an image of 12 megapixels."""
    return {"weights": priced(Linear(100, bias=False), 36_000_000).params}


def chains() -> dict[str, object]:
    """Chains of 3x3 layers against one layer with the same receptive field, in units of C² and H W C²."""
    values: dict[str, object] = {}
    for kernels in ((5,), (3, 3), (7,), (3, 3, 3)):
        numbers = priced(plain_chain(C, *kernels), C, H, W)
        name = " and ".join(f"{k}x{k}" for k in kernels)
        values |= {f"parameters of {name}": numbers.params // C**2, f"MACs of {name}": times(numbers.macs)}
    return values


def equal_cost() -> dict[str, object]:
    """VGG's rule: half the size, twice the channels; in units of H W C, C² and H W C²."""
    early = priced(padded_conv(C, 3), C, 2 * H, 2 * W)
    late = priced(padded_conv(2 * C, 3), 2 * C, H, W)
    return {
        name: value
        for when, numbers in (("early", early), ("late", late))
        for name, value in {
            f"{when}: outputs": numbers.activations // (H * W * C),
            f"{when}: parameters": numbers.params // C**2,
            f"{when}: MACs": times(numbers.macs),
        }.items()
    }


def strided() -> dict[str, object]:
    """A layer with kernel 3x5 and stride 2: MACs H W / stride² Hf Wf C K, parameters Hf Wf C K."""
    numbers = priced(Conv(24, (3, 5), 2, padding=(1, 2), bias=False), C, H, W)
    return {
        "parameters / (Hf Wf C K)": numbers.params // (3 * 5 * C * 24),
        "MACs / (H W Hf Wf C K / stride²)": numbers.macs // (H * W * 3 * 5 * C * 24 // 4),
    }


def inception() -> dict[str, object]:
    """The naive and the reduced module on 256x28x28."""
    naive, reduced, twice = (
        priced(module, 256, 28, 28) for module in (inception_naive(), inception_reduced(), inception_reduced(True))
    )
    return {
        "MACs, naive": naive.macs,
        "channels out, naive": output(inception_naive(), 256, 28, 28)[0],
        "MACs, reduced": reduced.macs,
        "channels out, reduced": output(inception_reduced(), 256, 28, 28)[0],
        "MACs, reduced, the 3x3 counted twice": twice.macs,
    }


def inception_bottleneck() -> dict[str, object]:
    """192 channels of 28x28 to 32 by a 5x5 layer, directly and through 16 channels."""
    direct = priced(padded_conv(32, 5), 192, 28, 28).macs
    through = priced(chain(padded_conv(16, 1), padded_conv(32, 5)), 192, 28, 28)
    first, second = (layer.macs for layer in through.layers)
    return {"directly": direct, "1x1 to 16": first, "5x5 to 32": second, "through 16": through.macs}


def residual() -> dict[str, object]:
    """The two residual blocks, in units of H W C²."""
    deep = priced(bottleneck(4 * C, C), 4 * C, H, W)
    return {
        "basic": times(priced(basic(C), C, H, W).macs),
        "bottleneck, each layer": tuple(times(x.macs) for x in deep.layers),
        "bottleneck": times(deep.macs),
        "basic, widened 2 times": times(priced(basic(C, 2), 2 * C, H, W).macs),
    }


def resnext() -> dict[str, object]:
    """Blocks of G paths of c channels at the cost of a bottleneck of C = 64, in MACs for one position."""

    def macs(groups: int, width: int) -> int:
        return priced(bottleneck(256, groups * width, groups), 256, 1, 1).macs

    def exact(groups: int) -> float:
        """The positive root of 9 G c² + 8 G C c - 17 C² = 0."""
        return (math.sqrt((8 * groups * 64) ** 2 + 4 * 9 * groups * 17 * 64**2) - 8 * groups * 64) / (18 * groups)

    side_by_side = priced(paths(256, 4, 32), 256, 1, 1)
    return {
        "bottleneck, 17 C²": priced(bottleneck(256, 64), 256, 1, 1).macs,
        "G = 4, c = 24": macs(4, 24),
        "G = 32, c = 4": macs(32, 4),
        "32 paths of 4, summed": side_by_side.macs,
        "exact c for G = 4": exact(4),
        "exact c for G = 32": exact(32),
    }


def excitation() -> dict[str, object]:
    """A squeeze-excite gate on a bottleneck of C = 64 at 56x56: MACs and element-wise operations."""
    c, area = 64, 56 * 56
    gate = priced(squeeze_excite(4 * c, c // 4), 4 * c, 56, 56)
    extra = gate.macs + gate.elementwise
    share = extra / priced(bottleneck(4 * c, c), 4 * c, 56, 56).macs
    return {
        "extra operations": extra,
        "8 C H W + 2 C² + 17 C / 4": 8 * c * area + 2 * c * c + 17 * c // 4,
        "share of the block, %": 100 * share,
    }


def separable() -> dict[str, object]:
    """Depthwise and pointwise in place of a 3x3 layer."""

    def speedup(channels: int) -> float:
        return (
            priced(padded_conv(channels, 3), channels, H, W).macs
            / priced(depthwise_separable(channels), channels, H, W).macs
        )

    numbers = priced(depthwise_separable(C), C, H, W)
    return {
        "MACs / ((9 C + C²) H W)": numbers.macs // ((9 * C + C * C) * H * W),
        "9 C / (9 + C) holds": all(math.isclose(speedup(c), 9 * c / (9 + c)) for c in (8, 32, 128, 512)),
        "speedup for 512 channels": speedup(512),
        "speedup for 100,000 channels": speedup(100_000),
    }


def inverted() -> dict[str, object]:
    """The inverted bottleneck with t = 6 against the bottleneck's 17 H W C²."""
    t = 6
    numbers = priced(inverted_bottleneck(C, t), C, H, W)
    ends = sum(layer.macs for layer in numbers.layers if layer.params != 9 * t * C)
    return {
        "1x1 layers": times(ends),
        "depthwise layer / H W C": (numbers.macs - ends) // (H * W * C),
        "MACs / (2 t H W C² + 9 t H W C)": numbers.macs // (2 * t * HWCC + 9 * t * H * W * C),
    }


def factorized() -> dict[str, object]:
    """Weights of layers and of the chains of smaller layers that can replace them."""
    wide, narrow = (
        priced(Linear(1000, bias=False), 1000),
        priced(chain(Linear(50, bias=False), Linear(1000, bias=False)), 1000),
    )
    mixed = chain(padded_conv(C, 3, groups=4), padded_conv(C, 1))
    return {
        "3x3": priced(padded_conv(C, 3), C, H, W).params // C**2,
        "1x3 then 3x1": priced(split(C, 3), C, H, W).params // C**2,
        "3x3 in 4 groups, then 1x1 to mix them": priced(mixed, C, H, W).params / C**2,
        "dense 1000 to 1000": wide.params,
        "dense 1000 to 1000 through 50": narrow.params,
    }


ENTRIES = {
    "convolution-cost": Entry(
        title="a 5x5 layer of 100 channels on 64x64, and 10 of them on a million examples",
        rows="2.11 10.2",
        lectures="layers residual",
        compute=convolution,
        figures=(
            Figure("MACs of the layer", "1G", 1_024_000_000),
            Figure("MACs of 10 layers for 1M examples", "10P", 10_240_000_000_000_000),
            Figure("hours at 0.15 T/s", "18", 18.963),
            Figure("minutes at 12 T/s", "14", 14.2222),
        ),
    ),
    "dense-on-pixels": Entry(
        title="a hidden layer of 100 units on a color image of 12 megapixels",
        rows="1.2",
        lectures="layers",
        compute=dense,
        figures=(Figure("weights", None, 3_600_000_000),),
    ),
    "small-filter-chains": Entry(
        title="chains of 3x3 layers against 5x5 and 7x7, in units of C² and H W C²",
        rows="2.25 11.8",
        lectures="convnets regularization",
        compute=chains,
        figures=(
            Figure("parameters of 5x5", "25", 25),
            Figure("MACs of 5x5", "25", 25),
            Figure("parameters of 3x3 and 3x3", "18", 18),
            Figure("MACs of 3x3 and 3x3", "18", 18),
            Figure("parameters of 7x7", "49", 49),
            Figure("parameters of 3x3 and 3x3 and 3x3", "27", 27),
        ),
    ),
    "equal-cost": Entry(
        title="VGG's rule: half the size and twice the channels cost the same MACs",
        rows="1.16 2.26",
        lectures="convnets",
        source="in units of H W C, C² and H W C²",
        compute=equal_cost,
        figures=(
            Figure("early: outputs", "4", 4),
            Figure("early: parameters", "9", 9),
            Figure("early: MACs", "36", 36),
            Figure("late: outputs", "2", 2),
            Figure("late: parameters", "36", 36),
            Figure("late: MACs", "36", 36),
        ),
    ),
    "strided-cost": Entry(
        title="a stride divides the MACs by its square, the parameters stay",
        rows="2.27",
        lectures="convnets",
        compute=strided,
        figures=(
            Figure("parameters / (Hf Wf C K)", None, 1),
            Figure("MACs / (H W Hf Wf C K / stride²)", None, 1),
        ),
    ),
    "inception-naive-cost": Entry(
        title="the naive Inception module on 256x28x28",
        rows="1.23 10.2",
        lectures="regularization",
        compute=inception,
        figures=(Figure("MACs, naive", "854M", 854_196_224), Figure("channels out, naive", "672", 672)),
    ),
    "inception-reduced-cost": Entry(
        title="the Inception module with 1x1 reductions",
        rows="1.24 10.2 11.2",
        lectures="regularization convnets",
        compute=inception,
        figures=(
            Figure(
                "MACs, reduced",
                "358M",
                271_351_808,
                "the slide's sum counts the 3x3 convolution twice",
                "MACs, reduced, the 3x3 counted twice",
            ),
            Figure("MACs, reduced, the 3x3 counted twice", "358M", 358_055_936),
            Figure("channels out, reduced", "480", 480),
        ),
    ),
    "inception-bottleneck-cost": Entry(
        title="192 channels of 28x28 to 32 by 5x5, directly and through 16 channels",
        rows="1.25",
        lectures="recap",
        compute=inception_bottleneck,
        figures=(
            Figure("directly", "120.4M", 120_422_400),
            Figure("1x1 to 16", "2.4M", 2_408_448),
            Figure("5x5 to 32", "10.0M", 10_035_200),
            Figure("through 16", "12.4M", 12_443_648),
        ),
    ),
    "residual-cost": Entry(
        title="residual blocks in units of H W C²",
        rows="1.37 2.39 2.40 2.43",
        lectures="recap convnets",
        compute=residual,
        figures=(
            Figure("basic", "18", 18),
            Figure("bottleneck, each layer", (4, 9, 4), (4, 9, 4)),
            Figure("bottleneck", "17", 17),
            Figure("basic, widened 2 times", None, 72),
        ),
    ),
    "resnext-block-cost": Entry(
        title="ResNeXt blocks as dear as a bottleneck with C = 64, for one position",
        rows="1.39 2.44 10.2",
        lectures="convnets recap",
        source="Xie et al. 2017; (8 C c + 9 c²) G = 17 C²",
        compute=resnext,
        figures=(
            Figure("bottleneck, 17 C²", "69,632", 69_632),
            Figure(
                "G = 4, c = 24", "69,632", 69_888, "widths are whole numbers: the exact c is 23.93", "bottleneck, 17 C²"
            ),
            Figure(
                "G = 32, c = 4", "69,632", 70_144, "widths are whole numbers: the exact c is 3.97", "bottleneck, 17 C²"
            ),
            Figure("32 paths of 4, summed", None, 70_144),
            Figure("exact c for G = 4", None, 23.9322),
            Figure("exact c for G = 32", None, 3.9725),
        ),
    ),
    "squeeze-excite-cost": Entry(
        title="what squeeze-excite adds to a bottleneck with C = 64 at 56x56",
        rows="1.43 2.45 10.7",
        lectures="convnets",
        source="Hu et al. 2018",
        compute=excitation,
        figures=(
            Figure("extra operations", None, 1_614_096),
            Figure("8 C H W + 2 C² + 17 C / 4", None, 1_614_096),
            Figure("share of the block, %", "< 1", 0.739170),
        ),
    ),
    "depthwise-separable-cost": Entry(
        title="depthwise and pointwise in place of a 3x3 layer",
        rows="1.44 1.45 2.17 10.7",
        lectures="convnets regularization",
        source="Howard et al. 2017",
        compute=separable,
        figures=(
            Figure("MACs / ((9 C + C²) H W)", None, 1),
            Figure("9 C / (9 + C) holds", None, True),
            Figure("speedup for 512 channels", None, 8.84453),
            Figure("speedup for 100,000 channels", "9", 8.99919),
        ),
    ),
    "inverted-bottleneck-cost": Entry(
        title="the inverted bottleneck with t = 6: 2 t H W C² + 9 t H W C",
        rows="1.46 2.46",
        lectures="convnets",
        source="Sandler et al. 2018",
        compute=inverted,
        figures=(
            Figure("1x1 layers", None, 12),
            Figure("depthwise layer / H W C", None, 54),
            Figure("MACs / (2 t H W C² + 9 t H W C)", None, 1),
        ),
    ),
    "low-rank-cost": Entry(
        title="layers in factors: weights in units of C², and of a dense layer through a narrow one",
        rows="2.19 2.50 5.2",
        lectures="convnets regularization",
        compute=factorized,
        figures=(
            Figure("3x3", None, 9),
            Figure("1x3 then 3x1", None, 6),
            Figure("3x3 in 4 groups, then 1x1 to mix them", None, 3.25),
            Figure("dense 1000 to 1000", None, 1_000_000),
            Figure("dense 1000 to 1000 through 50", None, 100_000),
        ),
    ),
}
