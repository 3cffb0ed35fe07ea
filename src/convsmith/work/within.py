"""Fits recipes into a limit of time: chooses length and image size by the measured speed of this machine."""

from dataclasses import replace

import torch

from convsmith.base.durations import Duration
from convsmith.data.augment import normalize
from convsmith.data.examples import spread
from convsmith.data.loaders import decode_all
from convsmith.engines.features import missing
from convsmith.engines.measure import seconds
from convsmith.recipes.recipe import Recipe
from convsmith.report.text import count, duration, many
from convsmith.training.engine import using
from convsmith.training.options import Ema, Swa
from convsmith.work.estimate import estimate
from convsmith.work.last_layer import frozen
from convsmith.work.limit import Limit
from convsmith.work.prepare import Plan, make_model, prepare

# Images become smaller if training from nothing would see fewer than LEAST_SEEN of them, or each of them fewer than
# LEAST_EPOCHS times. SIDES are the sides that they may get.
LEAST_SEEN, LEAST_EPOCHS, SIDES = 25_000, 5, (192, 160, 128, 96)
_TRIAL = 16  # images


def shortened(plan: Plan, limit: Limit) -> Plan:
    """The plan with as many of its epochs as the limit allows. A note says the length, also if it stays."""
    expected, left = estimate(plan).seconds, limit.left()
    if expected <= left:
        return _with_note(plan, f"{_text(plan.recipe.length)}, about {duration(expected)}: {limit}")
    recipe = scaled(plan.recipe, left / expected, len(plan.dataset.train))
    return _with_note(
        replace(plan, recipe=recipe),
        f"{_text(recipe.length)} in place of {_text(plan.recipe.length)}, which would take {duration(expected)}: "
        f"{limit}",
    )


def planned(recipe: Recipe, limit: Limit | None) -> Plan:
    """The plan of a recipe that learns from nothing, with fewer epochs and smaller images if the limit needs that."""
    plan = prepare(recipe)
    if limit is None or not recipe.by_steps:
        return plan
    side = max(plan.dataset.preprocess.size)
    expected, left = estimate(plan).seconds, limit.left()
    images = len(plan.dataset.train)
    seen = recipe.length.steps(max(1, images // recipe.batch)) * recipe.batch
    needed = expected * min(1.0, max(LEAST_SEEN, LEAST_EPOCHS * images) / seen)
    if limit.sizes and needed > left:
        smaller = _side(side, needed, left)
        if smaller < side:
            plan = prepare(recipe.edit(data__size=smaller))
            plan = _with_note(plan, f"images of {many(smaller, 'pixel')} a side in place of {side}: {limit}")
    return shortened(plan, limit)


def smaller_within(plan: Plan, limit: Limit) -> Plan:
    """The plan, with smaller images if they could not all go through its network once within the limit."""
    data = plan.dataset
    images = len(data.train) + len(data.val) + (0 if data.test is None else len(data.test))
    side, left = max(data.preprocess.size), limit.left()
    each = _seconds_each(plan)
    if each * images <= left or not limit.sizes:
        return plan
    if (images := images - _at_hand(plan)) * each <= left:
        return plan
    smaller = _side(side, each * images, left)
    if smaller == side:
        return plan
    return _with_note(
        prepare(plan.recipe.edit(data__size=smaller)),
        f"images of {many(smaller, 'pixel')} a side in place of {side}, at which {count(images)} take "
        f"{duration(each * images)}: {limit}",
    )


def scaled(recipe: Recipe, ratio: float, images: int) -> Recipe:
    """The recipe `ratio` times as long. All its other durations in epochs or steps are scaled as well."""
    amount = recipe.length.amount * ratio
    if recipe.length.unit == "ep" and amount >= 1:
        length = Duration(float(int(amount)), "ep")
        ratio = length.amount / recipe.length.amount
    elif recipe.length.unit == "ep":
        length = Duration(float(max(1, int(amount * max(1, images // recipe.batch)))), "steps")
    else:
        length = Duration(float(max(1, int(amount))), "steps")
    schedule, stopping, average = recipe.schedule, recipe.early_stopping, recipe.optimizer.average
    if isinstance(average, Ema):
        average = replace(average, start=_times(average.start, ratio))
    elif isinstance(average, Swa):
        average = replace(average, start=_times(average.start, ratio), every=_times(average.every, ratio))
    resize = recipe.resize and replace(
        recipe.resize, start=_times(recipe.resize.start, ratio), end=_times(recipe.resize.end, ratio)
    )
    patience = stopping.patience and _times(stopping.patience, ratio)
    return replace(
        recipe,
        length=length,
        schedule=replace(
            schedule,
            warmup=_times(schedule.warmup, ratio),
            at=tuple(_times(at, ratio) for at in schedule.at),
            every=_times(schedule.every, ratio),
            patience=_times(schedule.patience, ratio),
        ),
        early_stopping=replace(stopping, patience=patience),
        optimizer=replace(recipe.optimizer, average=average),
        resize=resize,
    )


def _side(side: int, seconds: float, left: float) -> int:
    """The largest of SIDES at which work of `seconds` at `side` takes at most `left`, by area; else the smallest."""
    sides = [s for s in SIDES if s < side]
    return next((s for s in sides if seconds * (s / side) ** 2 <= left), sides[-1] if sides else side)


def _times(value: Duration, ratio: float) -> Duration:
    """The duration times `ratio`. A share of the run (%) stays, and so does 0."""
    if value.unit == "%" or not value.amount:
        return value
    return Duration(max(0.001, round(value.amount * ratio, 3)), value.unit)


def _seconds_each(plan: Plan) -> float:
    """The measured seconds that one image takes: decoding, and one forward pass of the plan's network."""
    some = plan.dataset.train.subset(spread(len(plan.dataset.train), _TRIAL))
    module = make_model(plan, []).eval()
    with using(plan.engine), torch.no_grad():
        images = normalize(decode_all(some, plan.dataset.preprocess, 1), plan.dataset.preprocess)
        module(images[:1])  # the first call allocates and compiles; it is not timed
        return seconds(lambda: (decode_all(some, plan.dataset.preprocess, 1), module(images))) / len(some)


def _at_hand(plan: Plan) -> int:
    """How many of the training and validation images have their features in the store."""
    network = frozen(plan, make_model(plan, []))
    parts = plan.dataset.train, plan.dataset.val
    return sum(len(part) - missing(network, part, plan.recipe.data) for part in parts)


def _text(length: Duration) -> str:
    unit = "epoch" if length.unit == "ep" else "step"
    return f"{length.amount:g} {unit}{'' if length.amount == 1 else 's'}"


def _with_note(plan: Plan, note: str) -> Plan:
    return replace(plan, notes=(*plan.notes, note))
