"""ImageNet: what its recipes share, and the networks of 2012 to 2016."""

from dataclasses import replace

from convsmith.base.durations import Duration
from convsmith.data.augmentations import Crop, Flip, Lighting, ResizedCrop, ScaleCrop
from convsmith.data.options import DataOptions
from convsmith.data.sources.names import IMAGENET as IMAGENET_DATA
from convsmith.recipes.builtin.entry import BuiltIn
from convsmith.recipes.recipe import Recipe
from convsmith.tasks.options import Loss
from convsmith.training.options import Ema, Optimizer, Schedule

IMAGENET = "ImageNet"
ONE_CROP = "one crop of the center is what is evaluated"
SQUARE = "crops come from the square in the middle of the image, scaled to 256 pixels, and not from the whole image"
CHANNEL_SCALE = "each channel is also divided by its deviation"
PIXEL_MEAN = f"the mean of each channel is subtracted, not that of each pixel, and {CHANNEL_SCALE}"


def imagenet(name: str, network: str, title: str, size: int = 224, **fields: object) -> BuiltIn:
    """A recipe `<name>-imagenet` with fields of its own; what is known of it is set with `dataclasses.replace`."""
    recipe = Recipe(
        name=f"{name}-imagenet", network=network, data=DataOptions(source=IMAGENET_DATA, size=size, workers=8)
    )
    return BuiltIn(
        recipe=replace(recipe, **fields),
        group=IMAGENET,
        title=f"{title} on ImageNet",
        needs="--data FOLDER",
    )


def alexnet() -> BuiltIn:
    """AlexNet as in 2012: two columns, local response normalization."""
    entry = imagenet(
        "alexnet", "alexnet_2012", "AlexNet of two columns", size=227,
        augment=(Crop(0), Flip(), Lighting(0.1)), batch=128, length=Duration(90, "ep"),
        optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=5e-4),
        schedule=Schedule(kind="plateau"),
    )  # fmt: skip
    return replace(
        entry,
        paper='Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks"',
        figure="40.7% top-1 and 18.2% top-5 validation error of one network, ten crops (table 2)",
        differs=(
            ONE_CROP,
            PIXEL_MEAN,
            "weights and biases are drawn as torch draws them",
            "5 epochs of patience are our choice",
        ),
        sources={
            "section 5": "batch length optimizer.lr optimizer.momentum optimizer.weight_decay schedule.kind",
            "section 4.1": "augment",
            "figure 2, as CS231n reads it": "network data.size",
        },
    )


def vgg16() -> BuiltIn:
    """VGG-16, configuration D, at scales from 256 to 512."""
    entry = imagenet(
        "vgg16", "vgg16", "VGG-16",
        augment=(ScaleCrop(256, 512), Flip(), Lighting(0.1)), batch=256, length=Duration(74, "ep"),
        optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=5e-4),
        schedule=Schedule(kind="plateau"),
    )  # fmt: skip
    return replace(
        entry,
        paper='Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition"',
        figure="25.6% top-1 and 8.1% top-5 validation error at one scale of 384 pixels (table 3, D)",
        differs=(
            "one crop at 224 of 256 pixels is what is evaluated",
            SQUARE,
            CHANNEL_SCALE,
            "training at several scales does not start from a network trained at the one scale of 384",
            "nothing is taken over from configuration A; weights are drawn by He's rule, which made that needless",
            "5 epochs of patience are our choice",
        ),
        sources={
            "section 3.1": "augment batch length optimizer.lr optimizer.momentum optimizer.weight_decay schedule.kind",
            "table 1": "network",
        },
    )


def googlenet() -> BuiltIn:
    """GoogLeNet with its two auxiliary heads; the paper leaves most numbers open."""
    entry = imagenet(
        "googlenet", "googlenet_2014", "GoogLeNet with auxiliary heads",
        augment=(ResizedCrop(0.08, 1.0, 4 / 3), Flip()), batch=128, length=Duration(250, "ep"),
        optimizer=Optimizer(lr=0.01, momentum=0.9, weight_decay=2e-4, average=Ema(0.9999)),
        schedule=Schedule(kind="exponential", every=Duration(8, "ep"), factor=0.96),
        loss=Loss(auxiliary=0.3),
    )  # fmt: skip
    return replace(
        entry,
        paper='Szegedy et al. 2015, "Going deeper with convolutions"',
        figure="10.07% top-5 validation error of one network and one crop (table 3)",
        differs=(
            "batch, rate and length, which it does not state, are our choice",
            "the weight decay is that of Caffe's GoogLeNet",
            "the photometric distortions are left out",
            SQUARE,
            "training is synchronous",
        ),
        sources={
            "section 6": "augment optimizer.momentum optimizer.average schedule.kind schedule.every schedule.factor",
            "section 5": "network loss.auxiliary",
            "Caffe's bvlc_googlenet": "optimizer.weight_decay",
        },
    )


def resnet50() -> BuiltIn:
    """ResNet-50 as in the paper, the stride in the first 1x1."""
    entry = imagenet(
        "resnet50", "resnet50_v1", "ResNet-50", init="he_in",
        augment=(ScaleCrop(256, 480), Flip(), Lighting(0.1)), batch=256, length=Duration(600_000, "steps"),
        optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule(kind="plateau"),
    )  # fmt: skip
    return replace(
        entry,
        paper='He et al. 2016, "Deep residual learning for image recognition"',
        figure="22.85% top-1 and 6.71% top-5 validation error, ten crops (table 3)",
        differs=(ONE_CROP, SQUARE, PIXEL_MEAN, "5 epochs of patience are our choice"),
        sources={
            "section 3.4": (
                "init augment batch length optimizer.lr optimizer.momentum optimizer.weight_decay schedule.kind"
            ),
            "table 1": "network",
        },
    )
