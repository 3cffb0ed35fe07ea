"""Convolution as a matrix: transposed and dilated convolutions, upsampling, dense layers, groups, parallel paths."""

import numpy as np

from convsmith.base.errors import UsageError
from convsmith.nets.ops import Conv
from convsmith.nets.parts import padded_conv
from convsmith_textbook.lectures.blocks import chain, output, priced
from convsmith_textbook.lectures.entry import Entry, Figure
from convsmith_textbook.lectures.grids import Array, Operands, correlate, grid_lines, numbers

RAMP = Operands((((0, 1, 2), (3, 4, 5), (6, 7, 8)),), ((((0, 1), (2, 3)),),))
_LARGEST = 1024
C = 8  # an arbitrary number of channels


def matrix(given: Operands) -> Array:
    """The banded matrix M of a one-channel layer: vec(output) = M vec(input), for the padded input."""
    channels, height, width = given.x.shape
    if channels != 1 or given.w.shape[:2] != (1, 1):
        raise UsageError("this example takes one channel and one kernel; write no '|' and one --kernel")
    if height * width > _LARGEST:
        raise UsageError(
            f"this example writes a matrix; expected at most {_LARGEST} numbers, received {height}x{width}"
        )
    units = np.eye(height * width).reshape(-1, 1, height, width)
    free = (Operands(numbers(unit), given.kernels, stride=given.stride) for unit in units)
    return np.stack([correlate(one).ravel() for one in free], 1)


def scattered(y: Array, kernel: Array, stride: tuple[int, int] = (1, 1)) -> Array:
    """A transposed convolution: each element of y (H, W) adds its multiple of the kernel at its window's position."""
    (rows, columns), (h, w) = y.shape, kernel.shape
    x = np.zeros(((rows - 1) * stride[0] + h, (columns - 1) * stride[1] + w))
    for i in range(rows):
        for j in range(columns):
            x[i * stride[0] : i * stride[0] + h, j * stride[1] : j * stride[1] + w] += y[i, j] * kernel
    return x


def bilinear(factor: int) -> Array:
    """The taps along one axis of the filter that enlarges by `factor`, linearly."""
    taps = 2 * factor - factor % 2
    center = (taps - 1) / 2
    return 1 - np.abs(np.arange(taps) - center) / factor


def transposed(given: Operands) -> dict[str, object]:
    """A layer as a matrix, and the transposed layer as the transposed matrix."""
    m, y = matrix(given), correlate(given)[0]
    back = m.T @ y.ravel()
    return {
        "size of the matrix": "x".join(map(str, m.shape)),
        "matrix times input": numbers((m @ given.x.ravel()).reshape(y.shape)),
        "transposed matrix times output": numbers(back.reshape(given.x.shape[1:])),
        "output scattered by the kernel": _whole(scattered(y, given.w[0, 0], given.stride), given),
    }


def _whole(x: Array, given: Operands) -> tuple:
    """x extended by zeros to the input's size, for rows and columns that no window reached."""
    height, width = given.x.shape[1:]
    return numbers(np.pad(x, ((0, height - x.shape[0]), (0, width - x.shape[1]))))


def matrix_lines(given: Operands) -> list[str]:
    """The matrix, a row for each output element."""
    m = matrix(given)
    if m.size > 1024:
        return [f"(a matrix of {m.shape[0]}x{m.shape[1]}: too large to write out)"]
    return ["M =", *grid_lines(m)]


def upsampling() -> dict[str, object]:
    """A ramp enlarged twice by a transposed convolution with the bilinear filter and stride 2."""
    taps = bilinear(2)
    large = scattered(np.arange(4.0)[None], taps[None], (1, 2))[0]
    return {"taps": numbers(taps), "0 1 2 3, enlarged": numbers(large[2:-2])}


def dilated() -> dict[str, object]:
    """A 3x3 filter with gaps, alone and after a dense one; three of them with dilations 1, 2 and 4."""
    gaps = Conv(1, 3, padding=2, dilation=2, bias=False)
    pair = chain(padded_conv(1, 3), gaps)
    context = [Conv(1, 3, padding=d, dilation=d, bias=False) for d in (1, 2, 4)]
    costs = [priced(chain(*context[: i + 1]), 1, 32, 32) for i in range(3)]
    one, two = priced(gaps, 1, 32, 32), priced(pair, 1, 32, 32)
    return {
        "3x3, dilation 2: coefficients": one.receptive_field[0] ** 2,
        "3x3, dilation 2: free": one.params,
        "3x3 then dilation 2: coefficients": two.receptive_field[0] ** 2,
        "3x3 then dilation 2: free": two.params,
        "fields after dilations 1, 2, 4": tuple(c.receptive_field[0] for c in costs),
        "parameters after each": tuple(c.params for c in costs),
        "fields by (2^(i+2) - 1)": tuple(2 ** (i + 2) - 1 for i in range(3)),
    }


def dense() -> dict[str, object]:
    """A dense layer of 4 outputs on 3x5x5 features, and its weights as 5x5 filters, there and on 3x6x7."""
    random = np.random.default_rng(0)
    x, w = random.integers(-3, 4, (3, 5, 5)), random.integers(-3, 4, (4, 3 * 5 * 5))
    filters = numbers(w.reshape(4, 3, 5, 5).astype(float))
    wider = np.pad(x, ((0, 0), (0, 1), (0, 2)))
    return {
        "both give the same": bool(np.array_equal(correlate(Operands(numbers(x), filters)).ravel(), w @ x.ravel())),
        "on 3x5x5": "x".join(map(str, correlate(Operands(numbers(x), filters)).shape)),
        "on 3x6x7": "x".join(map(str, correlate(Operands(numbers(wider), filters)).shape)),
    }


def groups() -> dict[str, object]:
    """A convolution in 2 groups, and 2 convolutions on half of the channels each."""
    random = np.random.default_rng(0)
    x, w = random.integers(-3, 4, (4, 5, 5)), random.integers(-3, 4, (6, 2, 3, 3))
    halves = [correlate(Operands(numbers(x[2 * g : 2 * g + 2]), numbers(w[3 * g : 3 * g + 3]))) for g in range(2)]
    blocks = np.zeros((6, 4, 3, 3))
    blocks[:3, :2], blocks[3:, 2:] = w[:3], w[3:]
    whole = correlate(Operands(numbers(x), numbers(blocks)))
    priced_in = [priced(padded_conv(2 * C, 3, groups=g), C, 5, 5) for g in (1, 2, 4)]
    return {
        "equals parallel convolutions": bool(np.array_equal(np.concatenate(halves), whole)),
        "weights in 1, 2, 4 groups": tuple(p.params / (2 * C * C * 9) for p in priced_in),
        "MACs in 1, 2, 4 groups": tuple(p.macs / (2 * C * C * 9 * 25) for p in priced_in),
        "weights, depthwise 3x3, 8 channels": priced(padded_conv(C, 3, groups=C), C, 5, 5).params,
        "weights, depthwise 3x3, 8 to 16 channels": priced(padded_conv(2 * C, 3, groups=C), C, 5, 5).params,
    }


def axes() -> dict[str, object]:
    """Weights and shapes of convolutions over 1 and 3 axes: C_in 4, C_out 6, kernel 3."""
    one, three = Conv(6, 3, bias=False), Conv(6, 3, bias=False)
    return {
        "1-D weights": priced(one, 4, 10).params,
        "1-D output": "x".join(map(str, output(one, 4, 10))),
        "3-D weights": priced(three, 4, 10, 9, 8).params,
        "3-D output": "x".join(map(str, output(three, 4, 10, 9, 8))),
    }


_Y = ((19, 25), (37, 43))
_BACK = ((0, 19, 25), (38, 144, 118), (74, 197, 129))
ENTRIES = {
    "transposed-example": Entry(
        title="a convolution is a banded matrix, the transposed convolution its transpose",
        rows="2.21",
        lectures="convnets",
        compute=transposed,
        figures=(
            Figure("size of the matrix", None, "4x9"),
            Figure("matrix times input", None, _Y),
            Figure("transposed matrix times output", None, _BACK),
            Figure("output scattered by the kernel", None, _BACK),
        ),
        operands=RAMP,
        steps=matrix_lines,
    ),
    "upsampling-filter": Entry(
        title="the bilinear filter enlarges twice as a transposed convolution with stride 2",
        rows="2.22",
        lectures="convnets",
        source="Long et al. 2015",
        compute=upsampling,
        figures=(
            Figure("taps", None, (0.25, 0.75, 0.75, 0.25)),
            Figure("0 1 2 3, enlarged", None, (0.25, 0.75, 1.25, 1.75, 2.25, 2.75)),
        ),
    ),
    "dilated-example": Entry(
        title="dilated 3x3 convolutions: many coefficients, few of them free",
        rows="1.53 2.20 9.17 11.35",
        lectures="convnets",
        source="Yu and Koltun 2016, figure 1",
        compute=dilated,
        figures=(
            Figure("3x3, dilation 2: coefficients", "25", 25),
            Figure("3x3, dilation 2: free", "9", 9),
            Figure("3x3 then dilation 2: coefficients", "49", 49),
            Figure("3x3 then dilation 2: free", "18", 18),
            Figure("fields after dilations 1, 2, 4", (3, 7, 15), (3, 7, 15)),
            Figure("fields by (2^(i+2) - 1)", None, (3, 7, 15)),
            Figure("parameters after each", None, (9, 18, 27)),
        ),
    ),
    "dense-as-convolution": Entry(
        title="a dense layer is a convolution whose filter is as large as the map",
        rows="2.23",
        lectures="convnets",
        source="Long et al. 2015",
        compute=dense,
        figures=(
            Figure("both give the same", None, True),
            Figure("on 3x5x5", None, "4x1x1"),
            Figure("on 3x6x7", None, "4x2x3"),
        ),
    ),
    "grouped-convolution": Entry(
        title="G groups are G convolutions side by side, with 1/G of the weights and MACs",
        rows="2.15 2.16 11.11",
        lectures="convnets residual",
        compute=groups,
        figures=(
            Figure("equals parallel convolutions", None, True),
            Figure(
                "weights in 1, 2, 4 groups",
                "C_out x C_in x K x K",
                (1.0, 0.5, 0.25),
                "several slides leave out the division: each filter sees C_in / G channels. In units of C_out C_in K²",
            ),
            Figure("MACs in 1, 2, 4 groups", None, (1.0, 0.5, 0.25)),
            Figure("weights, depthwise 3x3, 8 channels", None, 72),
            Figure("weights, depthwise 3x3, 8 to 16 channels", None, 144),
        ),
    ),
    "other-axes": Entry(
        title="convolutions over 1 and 3 axes: 4 channels to 6, kernel 3",
        rows="2.13 2.14",
        lectures="convnets",
        compute=axes,
        figures=(
            Figure("1-D weights", None, 6 * 4 * 3),
            Figure("1-D output", None, "6x8"),
            Figure("3-D weights", None, 6 * 4 * 27),
            Figure("3-D output", None, "6x8x7x6"),
        ),
    ),
}
