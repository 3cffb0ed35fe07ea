"""ImageNet: ResNet-50 trained in 16 epochs, and by the three procedures of "ResNet strikes back"."""

from dataclasses import dataclass, replace

from convsmith.base.durations import Duration
from convsmith.data.augmentations import Cutmix, Flip, Mixup, Randaugment, ResizedCrop
from convsmith.recipes.builtin.entry import BuiltIn
from convsmith.recipes.builtin.imagenet import SQUARE, imagenet
from convsmith.tasks.options import Loss
from convsmith.training.options import Optimizer, Progressive, Rule, Schedule

RSB = 'Wightman, Touvron and Jégou 2021, "ResNet strikes back: an improved training procedure in timm"'


@dataclass(frozen=True)
class Procedure:
    """A column of table 2; `magnitude` is RandAugment's, of 10; `error` top-1 in percent at 224 pixels (table 1)."""

    epochs: int
    side: int
    lr: float
    weight_decay: float
    smoothing: float
    drop_path: float
    magnitude: int
    mixup: float
    error: float


PROCEDURES = {
    "a1": Procedure(600, 224, 5e-3, 0.01, 0.1, 0.05, 7, 0.2, 19.6),
    "a2": Procedure(300, 224, 5e-3, 0.02, 0.0, 0.05, 7, 0.1, 20.2),
    "a3": Procedure(100, 160, 8e-3, 0.02, 0.0, 0.0, 6, 0.1, 21.9),
}
_TEST_SIDE = 224


def sixteen_epochs() -> BuiltIn:
    """ResNet-50 in 16 epochs of images that grow from 160 to 192 pixels, evaluated at 256 (FFCV)."""
    entry = imagenet(
        "resnet50-16ep", "resnet50", "ResNet-50 in 16 epochs of growing images", size=256,
        augment=(ResizedCrop(), Flip()),
        resize=Progressive(160 / 256, 192 / 256, Duration(11, "ep"), Duration(13, "ep"), 32),
        batch=4096, length=Duration(16, "ep"), label_smoothing=0.1,
        optimizer=Optimizer(
            lr=1.7, momentum=0.9, weight_decay=1e-4, rules=(Rule("norm", weight_decay=0.0),)
        ),
        schedule=Schedule(kind="linear", warmup=Duration(2, "ep")),
    )  # fmt: skip
    return replace(
        entry,
        paper="libffcv/ffcv-imagenet (Leclerc et al. 2023), rn50_16_epochs.yaml and train_imagenet.py",
        figure="26.2% top-1 and 9.2% top-5 validation error in 14.9 minutes on 8 A100 (its README)",
        differs=(
            "strided convolutions have no blur before them",
            SQUARE,
            "crops are scaled twice, to 256 pixels and from there to the size of the step",
            "the mirrored image is not evaluated with the image",
            "statistics of norms are those of a whole batch, where each of 8 devices has its 512 images",
        ),
        sources={
            "rn50_16_epochs.yaml": (
                "network data.size resize batch length label_smoothing optimizer.lr optimizer.momentum "
                "optimizer.weight_decay optimizer.rules"
            ),
            "train_imagenet.py": "augment schedule.kind schedule.warmup",
        },
    )


def strikes_back(name: str) -> BuiltIn:
    """ResNet-50 by procedure A1, A2 or A3: LAMB, binary cross entropy, mixup and CutMix, RandAugment."""
    row = PROCEDURES[name]
    share = round(row.side / _TEST_SIDE, 4)
    whole = Duration(100, "%")
    entry = imagenet(
        f"resnet50-{name}", "resnet50", f"ResNet-50 by procedure {name.upper()} of {row.epochs} epochs",
        edits=(f"drop_path={row.drop_path}",) if row.drop_path else (),
        augment=(
            ResizedCrop(), Flip(), Randaugment(2, 3 * row.magnitude), Mixup(row.mixup, 0.5), Cutmix(1.0, 0.5),
        ),
        # 160 pixels in training and 224 in evaluation.
        resize=None if share == 1 else Progressive(share, share, whole, whole, 32),
        batch=2048, length=Duration(row.epochs, "ep"), label_smoothing=row.smoothing, loss=Loss(kind="bce"),
        optimizer=Optimizer(
            kind="lamb", lr=row.lr, weight_decay=row.weight_decay, rules=(Rule("norm|bias", weight_decay=0.0),)
        ),
        schedule=Schedule(kind="cosine", warmup=Duration(5, "ep")),
    )  # fmt: skip
    table = "network augment batch length loss.kind optimizer.kind optimizer.lr optimizer.weight_decay schedule.kind"
    extra = " ".join(
        field
        for field, used in (
            ("edits", row.drop_path), ("label_smoothing", row.smoothing), ("resize data.size", share != 1),
        )
        if used
    )  # fmt: skip
    repeated = () if name == "a3" else ("augmentations are not repeated within a batch",)
    scaled_twice = (
        () if share == 1 else (f"crops are scaled twice, to {_TEST_SIDE} pixels and from there to {row.side}",)
    )
    return replace(
        entry,
        paper=RSB,
        figure=f"{row.error:.1f}% top-1 validation error at 224 pixels (table 1)",
        differs=(
            *repeated,
            SQUARE,
            *scaled_twice,
            f"RandAugment's strength {row.magnitude} of 10 is {3 * row.magnitude} of 30 and does not vary; its two "
            "operations always apply, where each does half of the time, and are not those that grow with the strength",
            "each image gets mixup half of the time and CutMix half of the time, each by its own draw, where a batch "
            "gets one of the two",
            "mixed labels keep their shares, where each class that is there counts as 1",
            "images are cropped to 224 of 256 pixels in evaluation, where it is 224 of 236",
        ),
        sources={
            "table 2": f"{table} schedule.warmup {extra}".strip(),
            "timm, which decays filters alone": "optimizer.rules",
        },
    )
