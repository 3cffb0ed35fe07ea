"""Results that the lectures quote from papers: tables of published numbers, and values computed from them."""

from convsmith.nets.views.accuracies import ACCURACIES, WINNERS
from convsmith.report.comparison import rows_svg
from convsmith_textbook.lectures import pictures
from convsmith_textbook.lectures.entry import Entry, Figure, Quotes

# Top-1 accuracy in percent on ImageNet: network, without and with squeeze-excite (Hu et al. 2018, table 2).
SQUEEZE_EXCITE = (
    ("VGG-16", 72.98, 74.78),
    ("ResNet-50", 75.20, 76.71),
    ("ResNet-101", 76.83, 77.62),
    ("ResNet-152", 77.58, 78.43),
    ("ResNeXt-50", 77.89, 78.90),
    ("ResNeXt-101", 78.82, 79.30),
)

RESIDUAL: Quotes = (
    ("quantity", "printed", "paper"),
    ("margins: detection, localization, COCO detection, segmentation", "16% 27% 11% 12%", "the same"),
    ("ImageNet top-1 error, 10 crops: plain-18, plain-34", "picture", "27.94 28.54"),
    ("ImageNet top-1 error, 10 crops: ResNet-18, ResNet-34", "picture", "27.88 25.03"),
    ("CIFAR-10 error of ResNet-20, 32, 44, 56, 110, 1202", "picture", "8.75 7.51 7.17 6.97 6.43 7.93"),
    ("CIFAR-10 error with pre-activation: 110, 164, 1001", "picture", "6.61 to 6.37, 5.93 to 5.46, 7.61 to 4.92"),
    ("CIFAR-10 error with stochastic depth: 110, 1202", "picture", "6.41 to 5.25, 4.91"),
)  # fmt: skip

OTHERS: Quotes = (
    ("quantity", "printed"),
    ("AlexNet: top-5 error of one network and of an ensemble of 7", "18.2 to 15.4"),
    ("AutoAugment: ImageNet top-1 accuracy, SVHN error", "83.54% 1.02%"),
    ("ImageNet split of transfer experiments: man-made and natural classes", "449 + 551"),
    ("batch sizes for batch normalization", "64 to 256"),
    ("crops: training sides, size, test sides, crops", "[256, 480] 224 {224 256 384 480 640} 10"),
    ("learning rate of the last layer and of the others when fine-tuning", "1/10 1/100"),
    ("activation maximization of ImageNet's Windsor tie", "0.992462"),
)

# Validation accuracy, learning rate and regularization of each logged trial.
COARSE = (
    (1, 0.412, 1.405206e-04, 4.793564e-01),
    (2, 0.214, 7.231888e-06, 2.321281e-04),
    (3, 0.208, 2.119571e-06, 8.011857e01),
    (4, 0.196, 1.551131e-05, 4.374936e-05),
    (5, 0.079, 1.753300e-05, 1.200424e03),
    (6, 0.223, 4.215128e-05, 4.196174e01),
    (7, 0.441, 1.750259e-04, 2.110807e-04),
    (8, 0.241, 6.749231e-05, 4.226413e01),
    (9, 0.482, 4.296863e-04, 6.642555e-01),
    (10, 0.079, 5.401602e-06, 1.599828e04),
    (11, 0.154, 1.618508e-06, 4.925252e-01),
)
FINE = (
    (0, 0.527, 5.340517e-04, 4.097824e-01),
    (1, 0.492, 2.279484e-04, 9.991345e-04),
    (2, 0.512, 8.680827e-04, 1.349727e-02),
    (3, 0.461, 1.028377e-04, 1.220193e-02),
    (4, 0.460, 1.113730e-04, 5.244309e-02),
    (5, 0.498, 9.477776e-04, 2.001293e-03),
    (6, 0.469, 1.484369e-04, 4.328313e-01),
    (7, 0.522, 5.586261e-04, 2.312685e-04),
    (8, 0.530, 5.808183e-04, 8.259964e-02),
    (9, 0.489, 1.979168e-04, 1.010889e-04),
    (10, 0.490, 2.036031e-04, 2.406271e-03),
    (11, 0.475, 2.021162e-04, 2.287807e-01),
    (12, 0.460, 1.135527e-04, 3.905040e-02),
    (13, 0.515, 6.947668e-04, 1.562808e-02),
    (14, 0.531, 9.471549e-04, 1.433895e-03),
    (15, 0.509, 3.140888e-04, 2.857518e-01),
    (16, 0.514, 6.438349e-04, 3.033781e-01),
    (17, 0.502, 3.921784e-04, 2.707126e-04),
    (18, 0.509, 9.752279e-04, 2.850865e-03),
    (19, 0.500, 2.412048e-04, 4.997821e-04),
    (20, 0.466, 1.319314e-04, 1.189915e-02),
    (21, 0.516, 8.039527e-04, 1.528291e-02),
)
COARSE_RATES, FINE_RATES = (1e-6, 1e-3), (1e-4, 1e-3)  # sampled uniformly in the logarithm


def gains() -> dict[str, object]:
    """The gain of squeeze-excite, in percentage points."""
    return {f"{name}, points": round(after - before, 2) for name, before, after in SQUEEZE_EXCITE}


def policies() -> dict[str, object]:
    """AutoAugment's space: five sub-policies of two operations, 16 kinds, 10 magnitudes, 11 probabilities."""
    return {"size": (16 * 10 * 11) ** (5 * 2)}


def searched() -> dict[str, object]:
    """The best trial of each stage of the search, and its position in the range of learning rates."""
    best_coarse, best_fine = (max(trials, key=lambda trial: trial[1]) for trials in (COARSE, FINE))
    low, high = FINE_RATES
    nearest = min(best_fine[2] / low, high / best_fine[2])
    inside = [t for trials, (a, b) in ((COARSE, COARSE_RATES), (FINE, FINE_RATES)) for t in trials if a <= t[2] <= b]
    return {
        "trials": (len(COARSE), len(FINE)),
        "drawn from the ranges": len(inside),
        "best, coarse": best_coarse[1],
        "best, fine": best_fine[1],
        "learning rate of the best": best_fine[2],
        "its distance from the end of the range, as a factor": nearest,
        "lies at the edge of the range": nearest < (high / low) ** 0.05,
    }


def top5_errors() -> dict[str, object]:
    """The published errors of the ImageNet challenge, from the table that `compare --winners` draws."""
    return {f"{w.year} {w.name}": w.error for w in WINNERS}


def residual_accuracies() -> dict[str, object]:
    """Torchvision's published accuracies of ResNets."""
    return {f"resnet{depth}: top-1": ACCURACIES[f"resnet{depth}"].top1 for depth in (18, 34, 50, 101, 152)}


def _gain_quotes() -> Quotes:
    rows = ((name, f"{before:.2f}", f"{after:.2f}") for name, before, after in SQUEEZE_EXCITE)
    return (("network", "top-1, %", "with squeeze-excite, %"), *rows)


def _search_quotes() -> Quotes:
    stages = (("coarse", COARSE), ("fine", FINE))
    trials = [(stage, *trial) for stage, logged in stages for trial in logged]
    rows = ((s, str(k), f"{accuracy:.3f}", f"{rate:.6e}", f"{decay:.6e}") for s, k, accuracy, rate, decay in trials)
    return (("stage", "trial", "accuracy", "learning rate", "regularization"), *rows)


def nothing() -> dict[str, object]:
    """A table that is only quoted."""
    return {}


_LOW = "below the promised 1 to 2 points"
ENTRIES = {
    "ilsvrc": Entry(
        title="entries of the ImageNet challenge, top-5 error in percent: the slides against the sources",
        rows="1.62 9.5 10.4",
        lectures="convnets regularization recap residual layers",
        source="Russakovsky et al. 2015 and the papers; quoted, not computed; compare --winners draws them",
        compute=top5_errors,
        figures=(
            Figure("2010 Lin et al.", "28.2", 28.2),
            Figure("2011 Sanchez and Perronnin", "25.8", 25.8),
            Figure("2012 AlexNet", "16.4", 16.4),
            Figure("2013 Clarifai (Zeiler)", "11.7", 11.7),
            Figure("2014 VGG", "7.3", 7.3),
            Figure("2014 GoogLeNet", "6.7", 6.7),
            Figure("2015 ResNet", "3.57", 3.57),
        ),
    ),
    "residual-results": Entry(
        title="results of residual networks",
        rows="9.8 10.5 11.41",
        lectures="recap convnets regularization",
        source="He et al. 2016 (two papers), Huang et al. 2016, torchvision's weights; quoted, not computed",
        compute=residual_accuracies,
        figures=(
            Figure("resnet18: top-1", "69.758", 69.758),
            Figure("resnet34: top-1", "73.314", 73.314),
            Figure("resnet50: top-1", "76.13", 76.13),
            Figure("resnet101: top-1", None, 77.374),
            Figure("resnet152: top-1", None, 78.312),
        ),
        quotes=RESIDUAL,
    ),
    "squeeze-excite-results": Entry(
        title="what squeeze-excite adds to six networks",
        rows="9.9 10.6 11.24 11.41",
        lectures="convnets",
        source="Hu et al. 2018, table 2",
        compute=gains,
        figures=(
            Figure("VGG-16, points", "1 to 2", 1.8),
            Figure("ResNet-50, points", "1 to 2", 1.51),
            Figure("ResNet-101, points", "1 to 2", 0.79, _LOW),
            Figure("ResNet-152, points", "1 to 2", 0.85, _LOW),
            Figure("ResNeXt-50, points", "1 to 2", 1.01),
            Figure("ResNeXt-101, points", "1 to 2", 0.48, _LOW),
        ),
        picture=lambda: rows_svg(
            "Top-1 accuracy on ImageNet with squeeze-excite, %",
            [(name, after, f"{after:.2f} (+{after - before:.2f})") for name, before, after in SQUEEZE_EXCITE],
            low=70,
        ),
        quotes=_gain_quotes(),
    ),
    "other-results": Entry(
        title="other printed results",
        rows="4.8 5.15 7.3 7.5 7.8 10.2 10.7",
        lectures="regularization layers convnets",
        compute=nothing,
        quotes=OTHERS,
    ),
    "augmentation-policies": Entry(
        title="the number of AutoAugment's policies",
        rows="4.8 10.7",
        lectures="regularization",
        source="Cubuk et al. 2019, section 3",
        compute=policies,
        figures=(Figure("size", "2.9e32", (16 * 10 * 11) ** 10),),
    ),
    "search-log": Entry(
        title="a coarse and a fine search for learning rate and regularization",
        rows="6.1 6.2 6.3 6.4 9.19 10.8 11.34",
        lectures="regularization",
        source="two-layer network 3072-50-10 on CIFAR-10, the lecture's own runs",
        compute=searched,
        figures=(
            Figure("trials", None, (11, 22)),
            Figure("drawn from the ranges", None, 33),
            Figure("best, coarse", "0.482", 0.482),
            Figure("best, fine", "0.531", 0.531),
            Figure("learning rate of the best", None, 9.471549e-4),
            Figure("its distance from the end of the range, as a factor", None, 1.05579),
            Figure("lies at the edge of the range", None, True),
        ),
        picture=lambda: pictures.trials_svg([("coarse", COARSE), ("fine", FINE)]),
        quotes=_search_quotes(),
    ),
}
