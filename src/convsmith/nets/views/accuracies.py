"""Published accuracies of networks of the zoo, each with its source; and the winners of the ImageNet contest.

This project measured none of them. Training recipes differ, also among torchvision's weights: compare with care.
"""

from dataclasses import dataclass

from convsmith.base.table import Table


@dataclass(frozen=True)
class Accuracy:
    """Single-crop accuracy in percent on ImageNet's validation images (50,000 unless the source says otherwise).

    `size` is the side of the crop in pixels. `line` is the family whose networks a chart joins by a line.
    """

    top1: float
    top5: float | None
    size: int
    line: str
    source: str


# The weights called IMAGENET1K_V1 (`weights.meta["_metrics"]`): top-1, top-5, and the crop if it is not 224.
_TORCHVISION: dict[str, dict[str, tuple[float, float] | tuple[float, float, int]]] = {
    "AlexNet": {
        "alexnet": (56.522, 79.066),
    },
    "VGG": {
        "vgg11": (69.02, 88.628),
        "vgg13": (69.928, 89.246),
        "vgg16": (71.592, 90.382),
        "vgg19": (72.376, 90.876),
    },
    "VGG with batch norm": {
        "vgg11_bn": (70.37, 89.81),
        "vgg13_bn": (71.586, 90.374),
        "vgg16_bn": (73.36, 91.516),
        "vgg19_bn": (74.218, 91.842),
    },
    "GoogLeNet": {
        "googlenet": (69.778, 89.53),
    },
    "Inception-v3": {
        "inception_v3": (77.294, 93.45, 299),
    },
    "ResNet": {
        "resnet18": (69.758, 89.078),
        "resnet34": (73.314, 91.42),
        "resnet50": (76.13, 92.862),
        "resnet101": (77.374, 93.546),
        "resnet152": (78.312, 94.046),
    },
    "Wide ResNet": {
        "wide_resnet50_2": (78.468, 94.086),
        "wide_resnet101_2": (78.848, 94.284),
    },
    "ResNeXt": {
        "resnext50_32x4d": (77.618, 93.698),
        "resnext101_32x8d": (79.312, 94.526),
    },
    "ResNeXt, long training": {
        "resnext101_64x4d": (83.246, 96.454),
    },
    "DenseNet": {
        "densenet121": (74.434, 91.972),
        "densenet169": (75.6, 92.806),
        "densenet201": (76.896, 93.37),
        "densenet161": (77.138, 93.56),
    },
    "SqueezeNet": {
        "squeezenet1_0": (58.092, 80.42),
        "squeezenet1_1": (58.178, 80.624),
    },
    "MobileNetV2": {
        "mobilenet_v2": (71.878, 90.286),
    },
    "MobileNetV3": {
        "mobilenet_v3_small": (67.668, 87.402),
        "mobilenet_v3_large": (74.042, 91.34),
    },
    "ShuffleNetV2": {
        "shufflenet_v2_x0_5": (60.552, 81.746),
        "shufflenet_v2_x1_0": (69.362, 88.316),
        "shufflenet_v2_x1_5": (72.996, 91.086),
        "shufflenet_v2_x2_0": (76.23, 93.006),
    },
    "MNASNet": {
        "mnasnet0_5": (67.734, 87.49),
        "mnasnet0_75": (71.18, 90.496),
        "mnasnet1_0": (73.456, 91.51),
        "mnasnet1_3": (76.506, 93.522),
    },
    "RegNetX": {
        "regnet_x_400mf": (72.834, 90.95),
        "regnet_x_800mf": (75.212, 92.348),
        "regnet_x_1_6gf": (77.04, 93.44),
        "regnet_x_3_2gf": (78.364, 93.992),
        "regnet_x_8gf": (79.344, 94.686),
        "regnet_x_16gf": (80.058, 94.944),
        "regnet_x_32gf": (80.622, 95.248),
    },
    "RegNetY": {
        "regnet_y_400mf": (74.046, 91.716),
        "regnet_y_800mf": (76.42, 93.136),
        "regnet_y_1_6gf": (77.95, 93.966),
        "regnet_y_3_2gf": (78.948, 94.576),
        "regnet_y_8gf": (80.032, 95.048),
        "regnet_y_16gf": (80.424, 95.24),
        "regnet_y_32gf": (80.878, 95.34),
    },
    "EfficientNet": {
        "efficientnet_b0": (77.692, 93.532),
        "efficientnet_b1": (78.642, 94.186, 240),
        "efficientnet_b2": (80.608, 95.31, 288),
        "efficientnet_b3": (82.008, 96.054, 300),
        "efficientnet_b4": (83.384, 96.594, 380),
        "efficientnet_b5": (83.444, 96.628, 456),
        "efficientnet_b6": (84.008, 96.916, 528),
        "efficientnet_b7": (84.122, 96.908, 600),
    },
    "EfficientNetV2": {
        "efficientnet_v2_s": (84.228, 96.878, 384),
        "efficientnet_v2_m": (85.112, 97.156, 480),
        "efficientnet_v2_l": (85.808, 97.788, 480),
    },
    "ConvNeXt": {
        "convnext_tiny": (82.52, 96.146),
        "convnext_small": (83.616, 96.65),
        "convnext_base": (84.062, 96.87),
        "convnext_large": (84.414, 96.976),
    },
}


def _torchvision() -> dict[str, Accuracy]:
    source = "torchvision's IMAGENET1K_V1 weights"
    return {
        name: Accuracy(row[0], row[1], row[2] if len(row) > 2 else 224, line, source)
        for line, rows in _TORCHVISION.items()
        for name, row in rows.items()
    }


_SE, _CHOLLET = "Hu et al. 2018, table 2", "Chollet 2017, table 1"
_LITE = "EfficientNet-Lite's README (tensorflow/tpu), floating point"
_ZOPH = "Zoph et al. 2018, tables 2 and 3"
_SZEGEDY, _HOWARD = (
    "Szegedy et al. 2017, table 1: without the blacklisted validation images",
    "Howard et al. 2017, table 6",
)

ACCURACIES: Table[Accuracy] = Table(
    "published accuracy",
    {
        **_torchvision(),
        "se_vgg16_bn": Accuracy(74.78, 92.3, 224, "SE-VGG", _SE),
        "se_resnet50_caffe": Accuracy(76.71, 93.38, 224, "SE-ResNet", _SE),
        "se_resnet101_caffe": Accuracy(77.62, 93.93, 224, "SE-ResNet", _SE),
        "se_resnet152_caffe": Accuracy(78.43, 94.27, 224, "SE-ResNet", _SE),
        "se_resnext50_32x4d_caffe": Accuracy(78.9, 94.51, 224, "SE-ResNeXt", _SE),
        "se_resnext101_32x4d_caffe": Accuracy(79.3, 94.99, 224, "SE-ResNeXt", _SE),
        "xception": Accuracy(79.0, 94.5, 299, "Xception", _CHOLLET),
        "inception_v4": Accuracy(80.0, 95.0, 299, "Inception-v4", _SZEGEDY),
        "inception_resnet_v2": Accuracy(80.1, 95.1, 299, "Inception-ResNet", _SZEGEDY),
        "nasnet_a_mobile": Accuracy(74.0, 91.6, 224, "NASNet-A", _ZOPH),
        "nasnet_a_large": Accuracy(82.7, 96.2, 331, "NASNet-A", _ZOPH),
        "efficientnet_lite0": Accuracy(75.1, None, 224, "EfficientNet-Lite", _LITE),
        "efficientnet_lite1": Accuracy(76.7, None, 240, "EfficientNet-Lite", _LITE),
        "efficientnet_lite2": Accuracy(77.6, None, 260, "EfficientNet-Lite", _LITE),
        "efficientnet_lite3": Accuracy(79.8, None, 280, "EfficientNet-Lite", _LITE),
        "efficientnet_lite4": Accuracy(81.5, None, 300, "EfficientNet-Lite", _LITE),
        "mobilenet_v1_025": Accuracy(50.6, None, 224, "MobileNetV1", _HOWARD),
        "mobilenet_v1_050": Accuracy(63.7, None, 224, "MobileNetV1", _HOWARD),
        "mobilenet_v1_075": Accuracy(68.4, None, 224, "MobileNetV1", _HOWARD),
        "mobilenet_v1": Accuracy(70.6, None, 224, "MobileNetV1", _HOWARD),
    },
)


@dataclass(frozen=True)
class Winner:
    """An entry of ILSVRC, the ImageNet contest: top-5 error in percent on the test set.

    `layers` counts layers with weights; 0 is a shallow model, None an ensemble of networks of several depths.
    """

    year: int
    name: str
    error: float
    layers: int | None
    source: str


# The classification entries that the lectures show. Of the two entries of 2014, GoogLeNet won.
WINNERS: tuple[Winner, ...] = (
    Winner(2010, "Lin et al.", 28.2, 0, "Russakovsky et al. 2015, section 5"),
    Winner(2011, "Sanchez and Perronnin", 25.8, 0, "Russakovsky et al. 2015, section 5"),
    Winner(2012, "AlexNet", 16.4, 8, "Krizhevsky et al. 2012, section 6: five networks, no other data"),
    Winner(2013, "Clarifai (Zeiler)", 11.7, 8, "Russakovsky et al. 2015, section 5"),
    Winner(2014, "VGG", 7.3, 19, "Simonyan and Zisserman 2015, table 7"),
    Winner(2014, "GoogLeNet", 6.7, 22, "Szegedy et al. 2015, table 2"),
    Winner(2015, "ResNet", 3.57, 152, "He et al. 2016, table 5"),
    Winner(2016, "Trimps-Soushen", 2.99, None, "results of ILSVRC 2016"),
    Winner(2017, "SENet", 2.25, 152, "Hu et al. 2018, section 1: 2.251"),
)
HUMAN_ERROR = 5.1  # one trained annotator on 1,500 test images (Russakovsky et al. 2015, section 6.4)
