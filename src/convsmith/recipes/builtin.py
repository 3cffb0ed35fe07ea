"""The built-in recipes: functions that give a recipe. Each docstring tells command, time, hardware and result."""

from collections.abc import Callable
from dataclasses import replace

from convsmith.base.durations import Duration
from convsmith.base.table import Table
from convsmith.data.augmentations import Crop, Flip
from convsmith.data.options import DataOptions
from convsmith.recipes.recipe import Recipe
from convsmith.training.options import EarlyStopping, EngineOptions, Optimiser, Schedule


def digits() -> Recipe:
    """LeNet-5 on scikit-learn's 1,797 handwritten digits of 8x8 pixels, enlarged to 32x32; no download.

    convsmith train digits

    Time: 6 seconds of training on one core of an AMD EPYC with AVX512. Test accuracy: mean 98.7%, standard deviation
    0.3 points, over 5 seeds on the 179 test images of the fixed split.
    """
    return Recipe(
        name="digits",
        network="lenet5",
        data=DataOptions(source="digits", size=32),
        augment=(Crop(3),),
        batch=32,
        length=Duration(40, "ep"),
        optimiser=Optimiser(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="cosine", warmup=Duration(2, "ep")),
        label_smoothing=0.05,
        # So small a network gains nothing from bf16 or from a second thread.
        engine=EngineOptions(precision="fp32", threads=1),
    )


def lenet5_mnist() -> Recipe:
    """LeNet-5 on MNIST, enlarged from 28x28 to 32x32.

    convsmith train lenet5-mnist

    Time: 19 seconds on 2 cores of an AMD EPYC with AVX512-BF16. Test accuracy: 99.27% in the mean of 3 seeds (99.18 to
    99.36), on the 10,000 test images.
    """
    return Recipe(
        name="lenet5-mnist",
        network="lenet5",
        data=DataOptions(source="mnist", size=32),
        augment=(Crop(2),),
        batch=128,
        length=Duration(8, "ep"),
        optimiser=Optimiser(lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="cosine", warmup=Duration(1, "ep")),
    )


def resnet20_cifar10() -> Recipe:
    """ResNet-20 on CIFAR-10 as in He et al. 2016, section 4.2: 64,000 steps, rate divided by 10 at 32,000 and 48,000.

    45,000 images train, 5,000 validate; padded crops and flips. The paper's error is 8.75% (table 6), on the original
    images. Never run by us to its end.

    convsmith train resnet20-cifar10
    """
    return Recipe(
        name="resnet20-cifar10",
        network="resnet20_cifar",
        init="he_in",
        data=DataOptions(source="cifar10"),
        augment=(Crop(4), Flip()),
        batch=128,
        length=Duration(64000, "steps"),
        optimiser=Optimiser(lr=0.1, momentum=0.9, weight_decay=1e-4),
        schedule=Schedule(kind="step", at=(Duration(32000, "steps"), Duration(48000, "steps"))),
    )


def resnet20_cifar10_fast() -> Recipe:
    """ResNet-20 on CIFAR-10 in 15 epochs: one cycle of the learning rate with Nesterov momentum.

    convsmith train resnet20-cifar10-fast

    Run once, on JPEG copies of the images (where a published ResNet-20 of 91.7% scores 81.0%): test accuracy 85.0%, at
    1,700 to 1,800 training images a second on 2 cores of an AMD EPYC with AVX512-BF16; 15 minutes there, since others
    used the machine for half of the time. Never run by us on the original images.
    """
    return replace(
        resnet20_cifar10(),
        name="resnet20-cifar10-fast",
        length=Duration(15, "ep"),
        label_smoothing=0.1,
        optimiser=Optimiser(lr=0.4, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="linear", warmup=Duration(25, "%")),
    )


def photos() -> Recipe:
    """A user's own folder of images: ResNet-18 at 224 pixels, from `--weights FILE` where given.

    convsmith train photos --data FOLDER

    Time and result depend on the images. Run once, with --epochs 10, on the 701 frames of CamVid (480x360) sorted by
    their four videos: 5 minutes on 2 cores of an AMD EPYC with AVX512-BF16 that others used too, and 68 of 69 test
    images right.
    """
    return Recipe(
        name="photos",
        network="resnet18",
        data=DataOptions(source="photos", size=224),
        augment=(Crop(0), Flip()),
        batch=32,
        length=Duration(20, "ep"),
        label_smoothing=0.1,
        optimiser=Optimiser(lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="cosine", warmup=Duration(1, "ep")),
        early_stopping=EarlyStopping(patience=Duration(8, "ep")),
        select="best",
    )


RECIPES: Table[Callable[[], Recipe]] = Table(
    "recipe",
    {
        "digits": digits,
        "lenet5-mnist": lenet5_mnist,
        "resnet20-cifar10": resnet20_cifar10,
        "resnet20-cifar10-fast": resnet20_cifar10_fast,
        "photos": photos,
    },
)
