"""CIFAR: plain and residual networks, pre-activation, stochastic depth, squeeze and excitation."""

from dataclasses import replace

from convsmith.base.durations import Duration
from convsmith.recipes.builtin.cifar import (
    CHANNEL_MEAN,
    HELD_BACK,
    PADDED,
    Data,
    Errors,
    base,
    cifar,
    epochs,
    falling,
    sgd,
    steps,
)
from convsmith.recipes.builtin.entry import BuiltIn
from convsmith.recipes.recipe import Recipe
from convsmith.training.options import Optimizer, Schedule

HE = 'He et al. 2016, "Deep residual learning for image recognition"'
IDENTITY = 'He et al. 2016, "Identity mappings in deep residual networks"'
HUANG = 'Huang et al. 2016, "Deep networks with stochastic depth"'
HU = 'Hu et al. 2018, "Squeeze-and-excitation networks"'

_TRAINING = "batch length optimizer.lr optimizer.momentum optimizer.weight_decay schedule.kind schedule.at"
# Test errors in percent of table 6.
_RESNETS: dict[int, Errors] = {
    20: ("8.75", None),
    32: ("7.51", None),
    44: ("7.17", None),
    56: ("6.97", None),
    110: ("6.43", None),
    1202: ("7.93", None),
}
_PREACTIVATION: dict[int, Errors] = {110: ("6.37", None), 164: ("5.46", "24.33"), 1001: ("4.92", "22.71")}
# From this depth on training at the full rate does not begin (section 4.2).
_DEEP = 110


def _sixty_four_thousand(network: str, **fields: object) -> Recipe:
    """64,000 steps of 128 images, the rate divided by 10 at 32,000 and 48,000 (He et al. 2016, section 4.2)."""
    schedule = falling(steps(32000, 48000))
    optimizer = sgd(1e-4, nesterov=False)
    length = Duration(64000, "steps")
    return replace(base(network, length=length, augment=PADDED, optimizer=optimizer, schedule=schedule), **fields)


def resnet(depth: int, data: Data) -> BuiltIn:
    """ResNet-20 to ResNet-1202; the deep ones begin with a rate of 0.01 until the training error is below 80%."""
    recipe = _sixty_four_thousand(f"resnet{depth}_cifar", init="he_in")
    fields = f"network augment init {_TRAINING}"
    if depth >= _DEEP:
        recipe = replace(recipe, schedule=replace(recipe.schedule, warmup_error=0.8, warmup_rate=0.1))
        fields += " schedule.warmup_error schedule.warmup_rate"
    where = "table 6, best of 5 runs" if depth == 110 else "table 6"
    return cifar(
        f"resnet{depth}", data, f"ResNet-{depth}", recipe,
        paper=HE, errors=_RESNETS[depth], where=where, sources={"section 4.2": fields},
        differs=(HELD_BACK, CHANNEL_MEAN),
    )  # fmt: skip


def plain(depth: int, data: Data) -> BuiltIn:
    """ResNet's layers without its shortcuts: deeper is worse."""
    entry = cifar(
        f"plain{depth}", data, f"A plain network of {depth} layers, ResNet-{depth} without shortcuts,",
        _sixty_four_thousand(f"plain{depth}_cifar", init="he_in"),
        paper=HE, errors=(None, None), where="", sources={"section 4.2": f"network augment init {_TRAINING}"},
        differs=(HELD_BACK, CHANNEL_MEAN),
    )  # fmt: skip
    figure = "no numbers; in figure 6 (left, CIFAR-10) 56 layers have a larger training and test error than 20"
    return replace(entry, title=entry.title.replace(", on", " on"), figure=figure)


def preactivation(depth: int, data: Data) -> BuiltIn:
    """Pre-activation ResNets of 110 (basic blocks), 164 and 1001 layers (bottlenecks)."""
    schedule = falling(steps(32000, 48000), warmup=Duration(400, "steps"))
    return cifar(
        f"preresnet{depth}", data, f"Pre-activation ResNet-{depth}",
        _sixty_four_thousand(f"preresnet{depth}_cifar", init="he_in", schedule=schedule),
        paper=IDENTITY, errors=_PREACTIVATION[depth], where="table 3",
        sources={"appendix": f"augment init {_TRAINING} schedule.warmup", "figure 4e": "network"},
        differs=(HELD_BACK, "the rate rises during the first 400 steps, where it stays at 0.01"),
    )  # fmt: skip


def stochastic_depth(data: Data) -> BuiltIn:
    """ResNet-110 with stochastic depth, 500 epochs; the weights of the best validation are tested."""
    recipe = base(
        "resnet110_stochastic_depth_cifar", init="he_in", augment=PADDED, length=Duration(500, "ep"),
        optimizer=sgd(1e-4), schedule=falling(epochs(250, 375)), select="best",
    )  # fmt: skip
    return cifar(
        "resnet110-stochastic-depth", data, "ResNet-110 with stochastic depth, the last branch dropped half the time,",
        recipe,
        paper=HUANG, errors=("5.23", "24.58"), where="table 1",
        sources={
            "section 4": f"augment select {_TRAINING}", "section 3": "network",
            "the authors' main.lua": "optimizer.nesterov init",
        },
        differs=(),
    )  # fmt: skip


def se_preresnet(data: Data) -> BuiltIn:
    """Squeeze and excitation in the pre-activation ResNet-110, whose 6.37% the paper compares with."""
    plain_entry = preactivation(110, data)
    return cifar(
        "se-resnet110", data, "SE-ResNet-110, gates in the pre-activation ResNet-110,",
        replace(plain_entry.recipe, edits=("se=16",)),
        paper=HU, errors=("5.21", "23.85"), where="tables 4 and 5",
        sources={
            "section 3": "edits",
            'He et al. 2016, "Identity mappings", appendix': f"network augment init {_TRAINING} schedule.warmup",
        },
        differs=(*plain_entry.differs, "the plan of training is that of the network without gates"),
    )  # fmt: skip


def resnet20_fast() -> BuiltIn:
    """ResNet-20 in 15 epochs, for a processor."""
    entry = resnet(20, "cifar10")
    recipe = replace(
        entry.recipe,
        name="resnet20-cifar10-fast",
        length=Duration(15, "ep"),
        label_smoothing=0.1,
        optimizer=Optimizer(lr=0.4, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=Schedule(kind="linear", warmup=Duration(25, "%")),
    )
    return BuiltIn(
        recipe=recipe,
        group=entry.group,
        title="ResNet-20 on CIFAR-10 in 15 epochs: the learning rate goes up and down once, with Nesterov momentum",
        paper=f"network and augmentation are those of {HE}; the optimization is ours",
        figure="8.75% test error (table 6) after 64,000 steps",
        result=(
            "Run once, on JPEG copies of the images (where a published ResNet-20 of 91.7% scores 81.0%): test accuracy "
            "85.0%, at 1,700 to 1,800 training images a second on 2 cores of an AMD EPYC with AVX512-BF16. Never run "
            "by us on the original images."
        ),
        sources={f"{HE}, section 4.2": "network augment init batch"},
    )


def residual(data: Data) -> list[BuiltIn]:
    """All of this file on one data set."""
    fast = [resnet20_fast()] if data == "cifar10" else []
    return [
        *(plain(depth, data) for depth in (20, 56)),
        *(resnet(depth, data) for depth in _RESNETS),
        *fast,
        *(preactivation(depth, data) for depth in _PREACTIVATION),
        stochastic_depth(data),
        se_preresnet(data),
    ]
