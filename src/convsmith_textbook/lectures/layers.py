"""The behavior of layers: equivariance, initialization, activation, pooling. torch is imported when needed."""

from convsmith_textbook.later import later
from convsmith_textbook.lectures.entry import Entry, Figure


def _checks(*names: str) -> tuple[Figure, ...]:
    return tuple(Figure(name, None, True) for name in names)


ENTRIES = {
    "against-torch": Entry(
        title="the worked operations in NumPy against torch's layers",
        rows="2.2 2.7 2.8 2.21 2.22",
        lectures="layers convnets",
        compute=later("lectures.behavior", "against_torch"),
        figures=_checks("convolution", "transposed convolution", "bilinear upsampling, inside"),
    ),
    "equivariance": Entry(
        title="a moved image gives moved features",
        rows="2.3",
        lectures="layers convnets",
        compute=later("lectures.behavior", "equivariance"),
        figures=(Figure("convolution", None, True), Figure("dense layer", None, False)),
    ),
    "he-initialization": Entry(
        title="the initialization called Xavier/2 on a slide",
        rows="3.5 11.38",
        lectures="regularization",
        source="He et al. 2015, equation 10: variance 2 / fan_in",
        compute=later("lectures.behavior", "initialization"),
        figures=(Figure("variance x fan_in", None, 2.0),),
    ),
    "relu6": Entry(
        title="ReLU6 at -1, 0.5, 6 and 9",
        rows="2.35",
        lectures="convnets",
        compute=later("lectures.behavior", "clipped"),
        figures=(Figure("relu6", None, (0.0, 0.5, 6.0, 6.0)),),
    ),
    "fractional-pooling": Entry(
        title="fractional max pooling of 25x25 to 16x16",
        rows="2.34 5.9",
        lectures="regularization",
        source="Graham 2014",
        compute=later("lectures.behavior", "fractional_pooling"),
        figures=(
            Figure("output", None, "16x16"),
            *_checks("regions differ from draw to draw"),
            Figure("each region begins 1 or 2 positions after the last", None, (1, 2)),
        ),
    ),
}
