"""Worked examples on small grids: convolution, padding, stride, channels, pooling, step by step."""

from collections.abc import Callable

import numpy as np

from convsmith.base.errors import UsageError
from convsmith_textbook.lectures import pictures
from convsmith_textbook.lectures.entry import Entry, Figure
from convsmith_textbook.lectures.grids import Array, Operands, convolve, correlate, numbers, pool, poolings, slid, sums

X = ((0, 1, 2), (3, 4, 5), (6, 7, 8))
K = ((0, 1), (2, 3))
SECOND_X, SECOND_K = ((1, 2, 3), (4, 5, 6), (7, 8, 9)), ((1, 2), (3, 4))
SLICE = ((1, 1, 2, 4), (5, 6, 7, 8), (3, 2, 1, 0), (1, 2, 3, 4))
STRIPES = ((1, 1, 0, 0, 0),) * 4  # a vertical edge, four rows of it

PLAIN = Operands((X,), ((K,),))
PADDED = Operands((X,), ((K,),), padding=(2, 2))
STRIDED = Operands((X,), ((K,),), padding=(2, 2), stride=(3, 2))
TWO_CHANNELS = Operands((X, SECOND_X), ((K, SECOND_K),))
TWO_FILTERS = Operands((X, SECOND_X), ((K, SECOND_K), (SECOND_K, K)))
POINTWISE = Operands((X, SECOND_X), ((((1,),), ((2,),)), (((0,),), ((-1,),)), (((3,),), ((1,),))))
EDGE = Operands((STRIPES,), ((((1, -1),),),))


def _first(grids: Array) -> tuple:
    """The grid of the channel if there is one, else all grids."""
    return numbers(grids[0] if len(grids) == 1 else grids)


def convolution(given: Operands) -> dict[str, object]:
    """The layer, and the true convolution of the same numbers."""
    return {
        "output": _first(correlate(given)),
        "true convolution (kernel turned)": _first(convolve(given)),
    }


def filtered(given: Operands) -> dict[str, object]:
    """The outputs of the layer, and the first element by itself."""
    y = correlate(given)
    return {"first element": numbers(y[0, 0, 0]), "output": _first(y)}


def pointwise(given: Operands) -> dict[str, object]:
    """A 1x1 convolution, and the dense layer on the channels of each position."""
    if given.w.shape[2:] != (1, 1):
        raise UsageError(f"this example needs kernels of 1x1, received {'x'.join(map(str, given.w.shape[2:]))}")
    dense = np.einsum("oc,chw->ohw", given.w.sum((2, 3)), given.x)
    return {"output": numbers(correlate(given)), "dense layer at each position": numbers(dense)}


def max_pool(given: Operands) -> dict[str, object]:
    """The maximum of each window."""
    return {"output": _first(pool(given, np.max))}


def average_pool(given: Operands) -> dict[str, object]:
    """The mean of each window."""
    return {"output": _first(pool(given, np.mean))}


def edge_pool(given: Operands) -> dict[str, object]:
    """An edge detector, pooled; the same with the edge moved by one position; pooled by a wider window."""
    edges = correlate(given)
    moved = correlate(Operands(numbers(np.roll(given.x, 1, 2)), given.kernels))
    wide = np.pad(edges, ((0, 0), (0, 0), (1, 1)), constant_values=-np.inf)
    pooled, pooled_moved = (slid(e, (1, 2), (1, 1), lambda p: p.max((1, 2))) for e in (edges, moved))
    return {
        "edges, each row": numbers(edges[0, 0]),
        "pooled 2 wide": numbers(pooled[0, 0]),
        "pooled 2 wide, a zero to the right": numbers(np.pad(pooled, ((0, 0), (0, 0), (0, 1)))[0, 0]),
        "pooled 2 wide, a zero to the left": numbers(_pooled_padded(edges)[0, 0]),
        "pooled 3 wide, padded by 1": numbers(slid(wide, (1, 3), (1, 1), lambda p: p.max((1, 2)))[0, 0]),
        "still 1 after a move by one, at": numbers(np.flatnonzero((pooled * pooled_moved)[0, 0])),
    }


def _pooled_padded(edges: Array) -> Array:
    return slid(np.pad(edges, ((0, 0), (0, 0), (1, 0))), (1, 2), (1, 1), lambda p: p.max((1, 2)))


def _pool_steps(name: str, combine: Callable[..., Array]) -> Callable[[Operands], list[str]]:
    return lambda given: poolings(given, name, combine)


_OUTPUT = ((19, 25), (37, 43))
_PADDED_OUTPUT = ((0, 3, 8, 4), (9, 19, 25, 10), (21, 37, 43, 16), (6, 7, 8, 0))
_POINTWISE_OUTPUT = (
    ((2, 5, 8), (11, 14, 17), (20, 23, 26)),
    ((-1, -2, -3), (-4, -5, -6), (-7, -8, -9)),
    ((1, 5, 9), (13, 17, 21), (25, 29, 33)),
)
_LAYER = {"steps": sums, "picture": pictures.convolution_svg}

ENTRIES = {
    "convolution-example": Entry(
        title="a 2x2 kernel over a 3x3 input",
        rows="2.1 2.2 11.26",
        lectures="residual layers convnets",
        source="a layer computes the cross-correlation; the textbook's convolution turns the kernel by half a turn",
        compute=convolution,
        figures=(
            Figure("output", _OUTPUT, _OUTPUT),
            Figure("true convolution (kernel turned)", None, ((5, 11), (23, 29))),
        ),
        operands=PLAIN,
        **_LAYER,
    ),
    "padding-example": Entry(
        title="the same with a padding of 2 rows and 2 columns in all",
        rows="2.5 11.30 11.37",
        lectures="residual layers",
        source="the lectures' padding counts both sides; torch's counts each side, so it is 1 there",
        compute=filtered,
        figures=(Figure("first element", "0", 0), Figure("output", _PADDED_OUTPUT, _PADDED_OUTPUT)),
        operands=PADDED,
        **_LAYER,
    ),
    "stride-example": Entry(
        title="a stride of 3 rows and 2 columns over the padded input",
        rows="2.6",
        lectures="layers",
        compute=filtered,
        figures=(Figure("first element", "0", 0), Figure("output", ((0, 8), (6, 8)), ((0, 8), (6, 8)))),
        operands=STRIDED,
        **_LAYER,
    ),
    "channels-example": Entry(
        title="two input channels, each under its own kernel, summed",
        rows="2.7",
        lectures="layers",
        compute=filtered,
        figures=(Figure("first element", "56", 56), Figure("output", None, ((56, 72), (104, 120)))),
        operands=TWO_CHANNELS,
        **_LAYER,
    ),
    "filters-example": Entry(
        title="one output channel for each filter",
        rows="2.8",
        lectures="layers convnets",
        compute=filtered,
        figures=(Figure("output", None, (((56, 72), (104, 120)), ((52, 68), (100, 116)))),),
        operands=TWO_FILTERS,
        **_LAYER,
    ),
    "one-by-one-example": Entry(
        title="a 1x1 convolution is a dense layer on the channels of each position",
        rows="2.12",
        lectures="layers convnets recap regularization",
        source="Lin et al. 2014",
        compute=pointwise,
        figures=(
            Figure("output", None, _POINTWISE_OUTPUT),
            Figure("dense layer at each position", None, _POINTWISE_OUTPUT),
        ),
        operands=POINTWISE,
        **_LAYER,
    ),
    "max-pool-example": Entry(
        title="the largest of each 2x2 window",
        rows="2.28",
        lectures="layers",
        compute=max_pool,
        figures=(Figure("output", None, ((4, 5), (7, 8))),),
        operands=Operands((X,)),
        steps=_pool_steps("max", np.max),
        picture=pictures.max_pool_svg,
    ),
    "max-pool-slice": Entry(
        title="a 4x4 slice, halved by a 2x2 window with stride 2",
        rows="2.28",
        lectures="convnets",
        compute=max_pool,
        figures=(Figure("output", ((6, 8), (3, 4)), ((6, 8), (3, 4))),),
        operands=Operands((SLICE,), stride=(2, 2)),
        steps=_pool_steps("max", np.max),
        picture=pictures.max_pool_svg,
    ),
    "average-pool-example": Entry(
        title="the mean of each 2x2 window",
        rows="2.30",
        lectures="layers",
        compute=average_pool,
        figures=(Figure("output", None, ((2, 3), (5, 6))),),
        operands=Operands((X,)),
        steps=_pool_steps("mean", np.mean),
        picture=pictures.average_pool_svg,
    ),
    "edge-pool-example": Entry(
        title="an edge detector whose answer, once pooled, tolerates a move by one",
        rows="2.29 11.5",
        lectures="layers",
        compute=edge_pool,
        figures=(
            Figure("edges, each row", (0, 1, 0, 0), (0, 1, 0, 0)),
            Figure(
                "pooled 2 wide",
                (1, 1, 1, 0),
                (1, 1, 0),
                "a window 2 wide sees a single one at most twice; three ones need a window 3 wide",
                "pooled 3 wide, padded by 1",
            ),
            Figure("pooled 2 wide, a zero to the right", None, (1, 1, 0, 0)),
            Figure("pooled 2 wide, a zero to the left", None, (0, 1, 1, 0)),
            Figure("pooled 3 wide, padded by 1", (1, 1, 1, 0), (1, 1, 1, 0)),
            Figure("still 1 after a move by one, at", None, (1,)),
        ),
        operands=EDGE,
        **_LAYER,
    ),
}
