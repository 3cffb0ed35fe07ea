"""How far a network's confidence can be relied on: a reliability diagram (Guo et al. 2017, figure 1)."""

from collections.abc import Sequence

from convsmith.base.errors import UsageError
from convsmith.base.result import Reliability
from convsmith.report.axis import Axis
from convsmith.report.plot import Plot, sheet
from convsmith.report.svg import BLUE, GRAY, VERMILLION, tint
from convsmith.report.text import count, percent

_SIDE, _STRIP, _ACROSS = 230.0, 46.0, 3
_SHARES = Axis(low=0.0, high=1.0, share=True, tight=True, wanted=5)


# The ends of a stretch of confidence, the images in it, their mean confidence and their accuracy.
Stretch = tuple[float, float, int, float, float]


def reliability_svg(classifiers: Sequence[Reliability]) -> str:
    """A panel for each classifier: accuracy over confidence, the gap to the diagonal, and how many images are where."""
    if not classifiers:
        raise UsageError("a reliability diagram needs at least one classifier, received none")
    rows: list[list[Plot]] = []
    for first in range(0, len(classifiers), _ACROSS):
        row = classifiers[first : first + _ACROSS]
        rows += [[_diagram(classifier) for classifier in row], [_histogram(classifier) for classifier in row]]
    told = "; ".join(f"{c.name}: expected calibration error {percent(c.error)}" for c in classifiers)
    return sheet(rows, told=f"Reliability: {told}")


def _diagram(classifier: Reliability) -> Plot:
    """The accuracy as bars, and the gap between it and the confidence."""
    note = f"expected calibration error {percent(classifier.error)}"
    plot = Plot(classifier.name, Axis(low=0.0, high=1.0, marks=()), _SHARES, width=_SIDE, height=_SIDE, note=note)
    there = [stretch for stretch in classifier.stretches if stretch[2]]
    plot.bars([(low, high, 0.0, right) for low, high, _, _, right in there], color=BLUE, name="accuracy", gap=1.5)
    gaps = [(low, high, min(sure, right), max(sure, right)) for low, high, _, sure, right in there]
    plot.bars(gaps, color=tint(VERMILLION, 0.4), name="gap", gap=1.5)
    # Where the network is right more often than it is sure, the gap covers the upper end of the bar.
    for low, high, _, _, right in there:
        plot.line([(low + 0.004, right), (high - 0.004, right)], color=BLUE, width=3)
    plot.line([(0.0, 0.0), (1.0, 1.0)], color=GRAY, width=1.4, dash="4 3", kind="cs-arrow")
    return plot


def _histogram(classifier: Reliability) -> Plot:
    most = max((images for _, _, images, *_ in classifier.stretches), default=0)
    up = Axis(low=0.0, tight=True, grid=False, marks=[(most, count(most))])
    shares = Axis("confidence", low=0.0, high=1.0, share=True, wanted=3)
    plot = Plot("", shares, up, width=_SIDE, height=_STRIP)
    boxes = [(low, high, 0.0, images) for low, high, images, *_ in classifier.stretches]
    plot.bars(boxes, color=GRAY, name="images", gap=1.5)
    return plot
