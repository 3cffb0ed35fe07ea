"""How layers behave: equivariance, normalisation, dropout, training steps; computed with torch, loaded when asked."""

from convsmith.lectures.entry import Entry, Figure, later


def _checks(*names: str) -> tuple[Figure, ...]:
    return tuple(Figure(name, None, True) for name in names)


ENTRIES = {
    "against-torch": Entry(
        title="the worked operations in NumPy against torch's layers",
        rows="2.2 2.7 2.8 2.21 2.22",
        lectures="layers convnets",
        compute=later("behaviour", "against_torch"),
        figures=_checks("convolution", "transposed convolution", "bilinear upsampling, inside"),
    ),
    "equivariance": Entry(
        title="a moved image gives moved features",
        rows="2.3",
        lectures="layers convnets",
        compute=later("behaviour", "equivariance"),
        figures=(Figure("convolution", None, True), Figure("dense layer", None, False)),
    ),
    "batch-norm-example": Entry(
        title="batch normalisation of (20, 100, 32, 32) by its formula",
        rows="2.37 3.8 5.14 11.31",
        lectures="layers residual",
        source="Ioffe and Szegedy 2015; eps stands under the root, test images use running averages",
        compute=later("behaviour", "batch_norm"),
        figures=(
            Figure("parameters", None, 200),
            *_checks("biased variance in training", "unbiased variance is stored", "stored averages at test"),
        ),
    ),
    "dropout-example": Entry(
        title="dropout keeps the mean; its masks are an ensemble",
        rows="2.38 5.4 5.5 5.6 5.7 10.7 11.16",
        lectures="regularisation layers residual",
        source="the lectures' p is the share kept in one deck and the share dropped in two; ours is the share dropped",
        compute=later("behaviour", "dropout"),
        figures=(
            Figure("mean over the 4 masks / (w1 x + w2 y)", None, 0.5),
            Figure("sub-networks of 10 units", None, 1024),
            *_checks("kept with 0.75 and divided by it, the mean is x"),
            Figure("our layer's mean of ones, to 2 digits", None, 1.0),
        ),
    ),
    "weight-decay": Entry(
        title="L2 regularisation as decay of the weights",
        rows="5.1",
        lectures="regularisation",
        compute=later("behaviour", "weight_decay"),
        figures=_checks("w <- (1 - alpha lambda) w - alpha dE/dw"),
    ),
    "backpropagation": Entry(
        title="the formulas of backpropagation against autograd",
        rows="3.2 3.3",
        lectures="layers",
        compute=later("behaviour", "backpropagation"),
        figures=_checks("last layer's weights", "first layer's weights"),
    ),
    "sgd-pseudo-code": Entry(
        title="stochastic gradient descent as printed never resets its total",
        rows="3.1 11.15",
        lectures="layers",
        compute=later("behaviour", "accumulated"),
        figures=(
            Figure("reset for each batch", None, True),
            Figure("as printed", None, False, "the total of earlier batches stays in it"),
        ),
    ),
    "he-initialisation": Entry(
        title="the initialisation called Xavier/2 on a slide",
        rows="3.5 11.38",
        lectures="regularisation",
        source="He et al. 2015, equation 10: variance 2 / fan_in",
        compute=later("behaviour", "initialisation"),
        figures=(Figure("variance x fan_in", None, 2.0),),
    ),
    "relu6": Entry(
        title="ReLU6 at -1, 0.5, 6 and 9",
        rows="2.35",
        lectures="convnets",
        compute=later("behaviour", "clipped"),
        figures=(Figure("relu6", None, (0.0, 0.5, 6.0, 6.0)),),
    ),
    "fractional-pooling": Entry(
        title="fractional max pooling of 25x25 to 16x16",
        rows="2.34 5.9",
        lectures="regularisation",
        source="Graham 2014",
        compute=later("behaviour", "fractional_pooling"),
        figures=(
            Figure("output", None, "16x16"),
            *_checks("regions differ from draw to draw"),
            Figure("each region begins 1 or 2 positions after the last", None, (1, 2)),
        ),
    ),
}
