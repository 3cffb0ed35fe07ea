"""How far a network's confidence can be relied on: a reliability diagram (Guo et al. 2017, figure 1)."""

from collections.abc import Sequence

from convsmith.base.errors import UsageError
from convsmith.base.result import Reliability
from convsmith.report import svg
from convsmith.report.axis import Axis
from convsmith.report.palette import BLUE, GREY, VERMILLION, tint
from convsmith.report.text import count, percent

_LEFT, _SIDE, _TOP, _STRIP, _PANEL, _ACROSS = 58.0, 230.0, 66.0, 46.0, 320.0, 3


# The ends of a stretch of confidence, the images in it, their mean confidence and their accuracy.
Stretch = tuple[float, float, int, float, float]


def reliability_svg(classifiers: Sequence[Reliability]) -> str:
    """A panel for each classifier: accuracy over confidence, the gap to the diagonal, and how many images are where."""
    if not classifiers:
        raise UsageError("a reliability diagram needs at least one classifier, received none")
    height = _TOP + _SIDE + _STRIP + 82
    parts: list[str] = []
    for number, classifier in enumerate(classifiers):
        row, column = divmod(number, _ACROSS)
        parts += _panel(classifier, column * _PANEL + _LEFT, row * height + _TOP)
    width = _PANEL * min(len(classifiers), _ACROSS)
    rows = -(-len(classifiers) // _ACROSS)
    told = "; ".join(f"{c.name}: expected calibration error {percent(c.error)}" for c in classifiers)
    return svg.figure(width, height * rows, f"Reliability: {told}", parts)


def _panel(classifier: Reliability, left: float, top: float) -> list[str]:
    across, up = Axis(0, 1, left, left + _SIDE), Axis(0, 1, top + _SIDE, top)
    parts = [
        svg.label(left, top - 32, svg.fit(classifier.name, _SIDE, 15), font_size=15, font_weight=600),
        svg.label(left, top - 13, f"expected calibration error {percent(classifier.error)}", muted=True),
    ]
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(svg.line(across.start, up.place(mark), across.end, up.place(mark)))
        parts.append(svg.label(left - 8, up.place(mark) + 4, f"{mark:.0%}", muted=True, text_anchor="end"))
    for stretch in classifier.stretches:
        parts += _bar(stretch, across, up)
    diagonal = {"stroke": GREY, "stroke_dasharray": "4 3", "stroke_width": 1.4, "class": "cs-arrow"}
    parts.append(svg.line(across.start, up.start, across.end, up.end, **diagonal))
    return parts + _histogram(classifier.stretches, across, top + _SIDE + 14)


def _bar(stretch: Stretch, across: Axis, up: Axis) -> list[str]:
    """The accuracy as a line, and the gap between it and the confidence."""
    low, high, images, confidence, accuracy = stretch
    if not images:
        return []
    x, width = across.place(low) + 0.75, across.place(high) - across.place(low) - 1.5
    near, far = sorted((up.place(accuracy), up.place(confidence)))
    level = {"stroke": BLUE, "stroke_width": 3, "class": "cs-level"}
    return [
        svg.rectangle(x, far, width, up.start - far, fill=BLUE),
        svg.rectangle(x, near, width, far - near, fill=tint(VERMILLION, 0.4)),
        svg.line(x, up.place(accuracy), x + width, up.place(accuracy), **level),
    ]


def _histogram(stretches: Sequence[Stretch], across: Axis, top: float) -> list[str]:
    most = max((images for _, _, images, *_ in stretches), default=0)
    heights = Axis(0, max(most, 1), 0, _STRIP)
    parts: list[str] = []
    for low, high, images, *_ in stretches:
        x, width, tall = across.place(low) + 0.75, across.place(high) - across.place(low) - 1.5, heights.place(images)
        parts += [svg.rectangle(x, top + _STRIP - tall, width, tall, fill=GREY)] if images else []
    bottom = top + _STRIP
    parts.append(svg.line(across.start, bottom, across.end, bottom, stroke=svg.BORDER))
    parts.append(svg.label(across.start - 8, top + 10, count(most), muted=True, text_anchor="end"))
    for mark in (0.0, 0.5, 1.0):
        parts.append(svg.label(across.place(mark), bottom + 16, f"{mark:.0%}", muted=True, text_anchor="middle"))
    words = (("accuracy", BLUE), ("gap", tint(VERMILLION, 0.4)), ("images", GREY))
    parts.append(
        svg.label((across.start + across.end) / 2, bottom + 34, "confidence", muted=True, text_anchor="middle")
    )
    x = across.start
    for word, colour in words:
        parts.append(svg.rectangle(x, bottom + 43, 9, 9, fill=colour))
        parts.append(svg.label(x + 13, bottom + 52, word, muted=True, font_size=11))
        x += svg.text_width(word, 11) + 30
    return parts
