"""CIFAR: wide residual networks, and what was shown on them: cutout, mixup, AutoAugment; ResNeXt and DenseNet."""

from dataclasses import replace

from convsmith.base.durations import Duration
from convsmith.data.augmentations import Autoaugment, Cutout, Mixup
from convsmith.recipes.builtin.cifar import (
    HELD_BACK,
    MIRRORED,
    PADDED,
    Data,
    Errors,
    base,
    cifar,
    epochs,
    falling,
    sgd,
)
from convsmith.recipes.builtin.entry import BuiltIn
from convsmith.recipes.recipe import Recipe
from convsmith.training.options import Schedule

WRN = 'Zagoruyko and Komodakis 2016, "Wide residual networks"'
_OPTIMIZER = "optimizer.lr optimizer.momentum optimizer.nesterov optimizer.weight_decay"
_TRAINING = f"batch length {_OPTIMIZER} schedule.kind schedule.at"
_MEDIAN = "and the authors' README, median of 5 runs"
# Network, title, test errors in percent, where they stand.
_WIDE: dict[str, tuple[str, str, Errors, str]] = {
    "wrn16-8": ("wrn16_8_cifar", "WRN-16-8", ("4.27", "20.43"), "table 5"),
    "wrn40-4": ("wrn40_4_cifar", "WRN-40-4", ("4.53", "21.18"), "table 5"),
    "wrn28-10": ("wrn28_10_cifar", "WRN-28-10", ("4.00", "19.25"), f"table 5 {_MEDIAN}"),
    "wrn28-10-dropout": (
        "wrn28_10_dropout_cifar", "WRN-28-10 with dropout 0.3 in the branches", ("3.89", "18.85"), f"table 6 {_MEDIAN}",
    ),
}  # fmt: skip


def _two_hundred(network: str, **fields: object) -> Recipe:
    """200 epochs, the rate times 0.2 at 60, 120 and 160."""
    schedule = falling(epochs(60, 120, 160), 0.2)
    length = Duration(200, "ep")
    return replace(base(network, length=length, augment=MIRRORED, optimizer=sgd(5e-4), schedule=schedule), **fields)


def wide(name: str, data: Data) -> BuiltIn:
    """A wide ResNet by the paper's plan."""
    network, title, errors, where = _WIDE[name]
    return cifar(
        name, data, title, _two_hundred(network, init="he_in"),
        paper=WRN, errors=errors, where=where,
        sources={
            "section 3": f"augment {_TRAINING} schedule.factor", "table 1": "network",
            "the authors' code": "init",
        },
    )  # fmt: skip


def cutout(data: Data) -> BuiltIn:
    """Squares of 16 pixels for 10 classes, of 8 for 100, in WRN-28-10 with dropout."""
    size = 16 if data == "cifar10" else 8
    return cifar(
        "wrn28-10-cutout", data, f"WRN-28-10 with dropout and cutout of {size} pixels",
        _two_hundred("wrn28_10_dropout_cifar", init="he_in", augment=(*PADDED, Cutout(size))),
        paper='DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout"',
        errors=("3.08", "18.41"), where="table 1, mean of 5 runs",
        sources={
            "section 4 and the authors' train.py": f"network augment {_TRAINING} schedule.factor",
            "the code of wide residual networks": "init",
        },
    )  # fmt: skip


def mixup(data: Data) -> BuiltIn:
    """Mixup with alpha 1 in WRN-28-10, with a tenth of the usual weight decay for it."""
    recipe = base(
        "wrn28_10_cifar", init="he_in", augment=(*PADDED, Mixup(1.0)), length=Duration(200, "ep"),
        optimizer=sgd(1e-4, nesterov=False), schedule=falling(epochs(60, 120, 180)),
    )  # fmt: skip
    return cifar(
        "wrn28-10-mixup", data, "WRN-28-10 with mixup", recipe,
        paper='Zhang et al. 2018, "mixup: beyond empirical risk minimization"',
        errors=("2.7", "17.5"), where="figure 3, the table in it",
        sources={
            "section 3.2": "network augment batch length optimizer.lr optimizer.weight_decay schedule.kind schedule.at",
        },
        differs=(HELD_BACK, "each image of a batch has a share of its own, where a batch shares one"),
    )  # fmt: skip


def autoaugment(data: Data) -> BuiltIn:
    """The policy found on CIFAR-10, with cutout, in WRN-28-10 under a cosine."""
    recipe = base(
        "wrn28_10_cifar", init="he_in", augment=(*PADDED, Autoaugment("cifar10"), Cutout(16)),
        length=Duration(200, "ep"), optimizer=sgd(5e-4), schedule=Schedule(kind="cosine"),
    )  # fmt: skip
    return cifar(
        "wrn28-10-autoaugment", data, "WRN-28-10 with AutoAugment's policy of CIFAR-10 and cutout", recipe,
        paper='Cubuk et al. 2019, "AutoAugment: learning augmentation strategies from data"',
        errors=("2.6", "17.1"), where="table 2",
        sources={
            "section 4.1": "augment",
            "appendix and the authors' code": f"network batch length {_OPTIMIZER} schedule.kind",
        },
    )  # fmt: skip


def resnext(data: Data) -> BuiltIn:
    """ResNeXt-29 of 8 groups of 64, in the authors' released form: batches of 128, blocks of the original order."""
    recipe = base(
        "resnext29_8x64d_cifar", init="he", augment=PADDED, length=Duration(300, "ep"), optimizer=sgd(5e-4),
        schedule=falling(epochs(150, 225)),
    )  # fmt: skip
    return cifar(
        "resnext29-8x64d", data, "ResNeXt-29, 8x64d", recipe,
        paper='Xie et al. 2017, "Aggregated residual transformations for deep neural networks"',
        errors=("3.65", "17.77"), where="table 7, mean of 10 runs",
        sources={
            "section 5.3": (
                "network augment length optimizer.lr optimizer.momentum optimizer.weight_decay schedule.kind "
                "schedule.at"
            ),
            "the authors' README": "batch", "fb.resnet.torch, which it runs on": "optimizer.nesterov init",
        },
        differs=(
            HELD_BACK,
            "the figure is that of pre-activated blocks and batches of 256; by the authors' README these blocks and "
            "batches of 128 are better",
        ),
    )  # fmt: skip


def densenet(data: Data) -> BuiltIn:
    """DenseNet-BC of 100 layers with growth 12."""
    recipe = base(
        "densenet_bc100_12_cifar", augment=PADDED, batch=64, length=Duration(300, "ep"), optimizer=sgd(1e-4),
        schedule=falling(epochs(150, 225)),
    )  # fmt: skip
    return cifar(
        "densenet-bc100-12", data, "DenseNet-BC of 100 layers with growth 12", recipe,
        paper='Huang et al. 2017, "Densely connected convolutional networks"',
        errors=("4.51", "22.27"), where="table 2",
        sources={"section 4.2": _TRAINING, "section 4.1": "augment", "section 3": "network"},
    )  # fmt: skip


def wide_and_grouped(data: Data) -> list[BuiltIn]:
    """All of this file on one data set."""
    return [
        *(wide(name, data) for name in _WIDE),
        cutout(data), mixup(data), autoaugment(data), resnext(data), densenet(data),
    ]  # fmt: skip
