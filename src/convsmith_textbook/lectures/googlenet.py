"""GoogLeNet's table, row by row: the widths of the paper give the network, which checks the other columns."""

from convsmith.nets.cost import cost
from convsmith.nets.zoo import network
from convsmith_textbook.lectures.entry import Entry, Figure, prints_as
from convsmith_textbook.lectures.networks import weight_layers

PAPER = network("googlenet_2014")
# The paths in the tree of the rows of the table; a module is one row.
ROWS = {"conv1": ("stem.conv1",), "conv2": ("stem.conv2", "stem.conv3"), "linear": ("head.linear",)}
# Printed: output, weights in K of 1024, operations.
PRINTED: dict[str, tuple[str, str, str]] = {
    "conv1": ("64x112x112", "2.7", "34M"),
    "conv2": ("192x56x56", "112", "360M"),
    "3a": ("256x28x28", "159", "128M"),
    "3b": ("480x28x28", "380", "304M"),
    "4a": ("512x14x14", "364", "73M"),
    "4b": ("512x14x14", "437", "88M"),
    "4c": ("512x14x14", "463", "100M"),
    "4d": ("528x14x14", "580", "119M"),
    "4e": ("832x14x14", "840", "170M"),
    "5a": ("832x7x7", "1072", "54M"),
    "5b": ("1024x7x7", "1388", "71M"),
    "linear": ("1000", "1000", "1M"),
}
# Computed from the widths: weights / 1024, MACs.
EXACT: dict[str, tuple[float, int]] = {
    "conv1": (9.1875, 118_013_952),
    "conv2": (112.0, 359_661_568),
    "3a": (159.5, 128_049_152),
    "3b": (379.0, 304_267_264),
    "4a": (366.75, 73_608_192),
    "4b": (438.0, 87_908_352),
    "4c": (497.5, 99_850_240),
    "4d": (590.5, 118_515_712),
    "4e": (847.0, 169_996_288),
    "5a": (1018.0, 51_079_168),
    "5b": (1409.0, 70_697_984),
    "linear": (1000.0, 1_024_000),
}


def table() -> dict[str, object]:
    """Output, weights without biases and MACs of each row."""
    numbers, ends = cost(PAPER), {step.path: step.y.shape for step in PAPER.trace().steps}
    values: dict[str, object] = {}
    for row in PRINTED:
        paths = ROWS.get(row) or next((path,) for path in ends if path.endswith(f"inception{row}"))
        layers = [x for x in numbers.layers if x.name.startswith(paths) and x.op in ("conv", "linear")]
        values |= {
            f"{row}: output": "x".join(map(str, ends[paths[-1]])),
            f"{row}: K of weights": sum(x.params - x.output[0] for x in layers) / 1024,
            f"{row}: MACs": sum(x.macs for x in layers),
        }
    taps = (7 + 7) * 3 * 64
    return {
        **values,
        "conv1 with 7 + 7 taps: thousand weights": taps / 1000,
        "conv1 with 7 + 7 taps: MACs": taps * 112**2,
    }


def totals() -> dict[str, object]:
    """The whole network against AlexNet, without the auxiliary classifiers."""
    numbers, alex = cost(PAPER), cost(network("alexnet"))
    main = [layer for layer in numbers.layers if not layer.auxiliary]
    return {
        "parameters": numbers.params,
        "parameters, without the linear layer": sum(layer.params for layer in main if layer.op != "linear"),
        "MACs": numbers.macs,
        "AlexNet / GoogLeNet, parameters": alex.params / numbers.params,
        "GoogLeNet / AlexNet, MACs": numbers.macs / alex.macs,
        "60M / 5M": 60 / 5,
        "layers with weights": weight_layers(PAPER),
        "linear layers": sum(layer.op == "linear" for layer in main),
    }


_TAPS = "the printed first row is what 7 + 7 taps in place of 7 x 7 give"
_COLUMN = "the paper's column does not follow from the widths beside it"


def _row(row: str) -> tuple[Figure, ...]:
    (output, weights, macs), (exact_weights, exact_macs) = PRINTED[row], EXACT[row]
    first = row == "conv1"
    mistakes = ("conv1 with 7 + 7 taps: thousand weights", "conv1 with 7 + 7 taps: MACs") if first else ("", "")

    def figure(name: str, printed: str, exact: float, mistake: str) -> Figure:
        if prints_as(printed, exact):
            return Figure(name, printed, exact)
        return Figure(name, printed, exact, _TAPS if first else _COLUMN, mistake)

    return (
        Figure(f"{row}: output", output, output),
        figure(f"{row}: K of weights", weights, exact_weights, mistakes[0]),
        figure(f"{row}: MACs", macs, exact_macs, mistakes[1]),
    )


ENTRIES = {
    "googlenet-table": Entry(
        title="GoogLeNet's table; a K of its weights is 1024",
        rows="1.22 10.3 11.7",
        lectures="convnets",
        source="Szegedy et al. 2015, table 1",
        compute=table,
        figures=tuple(figure for row in PRINTED for figure in _row(row)),
    ),
    "googlenet-totals": Entry(
        title="GoogLeNet against AlexNet, without its auxiliary classifiers",
        rows="1.22 10.3 11.7 11.28",
        lectures="regularization convnets",
        source="Szegedy et al. 2015; torchvision's AlexNet",
        compute=totals,
        figures=(
            Figure("parameters", "5M", 6_998_552, "the widths give 7.0 million, 6.0 without the linear layer"),
            Figure("parameters, without the linear layer", None, 5_973_552),
            Figure("MACs", None, 1_582_671_872),
            Figure("AlexNet / GoogLeNet, parameters", "12x", 8.73050, "12 is 60M over the 5M", "60M / 5M"),
            Figure("GoogLeNet / AlexNet, MACs", "2x", 2.21602),
            Figure("layers with weights", "22", 22),
            Figure("linear layers", "0", 1, "the slide says no fully connected layers; the classifier is one"),
        ),
    ),
}
