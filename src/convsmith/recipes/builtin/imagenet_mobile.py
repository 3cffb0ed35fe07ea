"""ImageNet: networks for small devices."""

from dataclasses import replace

from convsmith.base.durations import Duration
from convsmith.data.augmentations import Autoaugment, ColorJitter, Flip, ResizedCrop
from convsmith.recipes.builtin.entry import BuiltIn
from convsmith.recipes.builtin.imagenet import SQUARE, imagenet
from convsmith.training.options import Ema, Optimizer, Rule, Schedule

_OPTIMIZER = "optimizer.kind optimizer.lr optimizer.momentum optimizer.beta2 optimizer.weight_decay"
# Version, network, top-1 validation error in percent by the authors' README.
_SHUFFLENETS = {
    "v1": ("shufflenet_v1_x1_0_g3", "ShuffleNet v1, 3 groups,", 32.2, 'Zhang et al. 2018, "ShuffleNet"'),
    "v2": ("shufflenet_v2_x1_0", "ShuffleNet v2", 30.6, 'Ma et al. 2018, "ShuffleNet V2"'),
}


def mobilenet_v2() -> BuiltIn:
    """MobileNetV2 by RMSprop, whose divisor is 1 or more: nearly plain momentum."""
    entry = imagenet(
        "mobilenet-v2", "mobilenet_v2", "MobileNetV2",
        augment=(ResizedCrop(), Flip()), batch=96, length=Duration(300, "ep"),
        optimizer=Optimizer(kind="rmsprop", lr=0.045, momentum=0.9, beta2=0.9, eps=1.0, weight_decay=4e-5),
        schedule=Schedule(kind="exponential", factor=0.98),
    )  # fmt: skip
    return replace(
        entry,
        paper='Sandler et al. 2018, "MobileNetV2: inverted residuals and linear bottlenecks"',
        figure="28.0% top-1 validation error (table 4)",
        differs=(
            "one process takes the batch, where 16 took such batches asynchronously",
            "augmentation and length, which it does not state, are our choice",
            SQUARE,
            "eps is added to the root, where the code adds it before, so that small gradients move less",
        ),
        sources={
            "section 6.1": f"batch {_OPTIMIZER} schedule.kind schedule.factor",
            "table 2": "network",
            "tensorflow/models slim, train_image_classifier.py": "optimizer.eps",
        },
    )


def shufflenet(version: str) -> BuiltIn:
    """ShuffleNet by the authors' scripts: 300,000 steps of 1,024 images, the rate falling to 0 along a line."""
    network, title, error, paper = _SHUFFLENETS[version]
    entry = imagenet(
        f"shufflenet-{version}", network, title,
        augment=(ResizedCrop(), ColorJitter(0.4, 0.4, 0.4, 0.0), Flip()),
        batch=1024, length=Duration(300_000, "steps"), label_smoothing=0.1,
        optimizer=Optimizer(lr=0.5, momentum=0.9, weight_decay=4e-5, rules=(Rule("norm|bias", weight_decay=0.0),)),
        schedule=Schedule(kind="linear"),
    )  # fmt: skip
    return replace(
        entry,
        paper=f"{paper}; the authors' megvii-model/ShuffleNet-Series",
        figure=f"{error:.1f}% top-1 validation error (their README)",
        differs=(SQUARE, "norms do not get fresh statistics at the end", "pixels are normalized"),
        sources={
            "section 4": "network",
            "the authors' train.py": (
                "augment batch length label_smoothing optimizer.lr optimizer.momentum optimizer.weight_decay "
                "optimizer.rules schedule.kind"
            ),
        },
    )


def efficientnet_b0() -> BuiltIn:
    """EfficientNet-B0 by RMSprop with the moving average of the weights."""
    entry = imagenet(
        "efficientnet-b0", "efficientnet_b0", "EfficientNet-B0",
        augment=(ResizedCrop(), Flip(), Autoaugment("imagenet")), batch=4096, length=Duration(350, "ep"),
        label_smoothing=0.1,
        optimizer=Optimizer(
            kind="rmsprop", lr=0.256, momentum=0.9, beta2=0.9, eps=0.0316, weight_decay=1e-5, average=Ema(0.9999),
            rules=(Rule("norm", weight_decay=0.0),),
        ),
        schedule=Schedule(
            kind="exponential", warmup=Duration(5, "ep"), every=Duration(2.4, "ep"), factor=0.97
        ),
    )  # fmt: skip
    return replace(
        entry,
        paper='Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks"',
        figure="22.9% top-1 validation error (table 2)",
        differs=(
            SQUARE,
            "batches are of 4,096 images, for which the rate of 0.256 stands at the code's 0.016 for each 256",
            "norms follow their statistics and add eps as torchvision's do",
            "images are scaled by a bilinear, not a bicubic filter",
            "eps is added to the root and is the root of that of the code, which adds it before",
        ),
        sources={
            "section 5.2": f"augment {_OPTIMIZER} schedule.kind schedule.every schedule.factor",
            "table 1": "network data.size",
            "the authors' code (tensorflow/tpu)": (
                "length label_smoothing optimizer.average optimizer.eps optimizer.rules schedule.warmup"
            ),
        },
    )
