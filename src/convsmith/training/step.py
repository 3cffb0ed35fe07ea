"""One optimizer step, on one screen."""

import hashlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from convsmith.base.errors import ConvsmithError
from convsmith.data.augment import mix, normalize
from convsmith.data.augment.moving import augment_batch, mixed_by_kind, resized_targets
from convsmith.data.augmentations import MIXING
from convsmith.data.loaders import Batch
from convsmith.report.text import many
from convsmith.training.average import add_to_average, is_due
from convsmith.training.explosion import SETTLING, WINDOW
from convsmith.training.gradient import backward, limit_length, sharpest
from convsmith.training.job import Job, State
from convsmith.training.lookahead import look_ahead
from convsmith.training.not_finite import broken, broken_images
from convsmith.training.optimize import set_rate
from convsmith.training.resizing import resized
from convsmith.training.schedule import rate


class Exploded(ConvsmithError, ArithmeticError):
    """The loss, the gradient or the weights hold NaN or inf, or the training loss is far above where it began."""


# Steps between two looks at loss and gradient, for which the device must have finished all before.
LOOK_EVERY = {"cpu": 1, "cuda": 16}
# GradScaler begins at 2**16 and halves it whenever the gradient overflowed.
SMALLEST_SCALE = 2.0**-16


def train_step(state: State, batch: Batch, job: Job, asked: Callable[[], bool] = lambda: False) -> bool:
    """Take one step on a batch (of several processes each on its slice): augment, forward, backward, check, update.

    Says whether any process was `asked` to stop after it; of several, where this step is looked at.
    """
    epoch = state.step // job.span.steps_per_epoch
    # Dropout and its kin draw from the global generator: seeded by the step, there is no generator state to save.
    seed = step_seed(job.seed, state.step, job.world.part.rank)
    torch.manual_seed(seed)
    kind = job.training.kind
    batch = augment_batch(batch, kind, job.augment, job.seed, epoch, job.preprocess)
    images, targets = mixed(batch, job, epoch)
    full = normalize(images, job.preprocess, memory_format=job.engine.memory_format)
    inputs = resized(full, job, state.step)
    targets = resized_targets(targets, kind, full.shape[2:], inputs.shape[2:])
    batch = Batch(inputs, targets, batch.positions, batch.samples)
    looks = is_looked_at(state, job)
    losses, stop = job.world.totals(backward(state, batch, job), asked(), looks)
    if job.optimizer.sam is not None:
        with sharpest(state.model, job.optimizer.sam):
            torch.manual_seed(seed)
            backward(state, batch, job)
    length = limit_length(state, job.optimizer.clip)
    state.recent.note(state.step, losses.total, length)
    if looks or stop:
        check(state, job, inputs)
    state.sums.norm += length
    set_rate(state.optimizer, learning_rate(state, job, state.step))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    follow(state, job)
    state.sums.loss += losses.total * job.training.batch
    if losses.right is not None:
        state.sums.correct += losses.right
    for name, value in losses.parts.items():
        state.sums.parts[name] += value * job.training.batch
    state.sums.images += job.training.batch
    return stop


def mixed(batch: Batch, job: Job, epoch: int) -> tuple[Tensor, Tensor]:
    """A batch's images and targets after mixing; partners are drawn from the slices of all processes."""
    kind, classes = job.training.kind, job.classes
    if not any(isinstance(step, MIXING) for step in job.augment):
        return batch.images, mixed_by_kind(batch.targets, kind, (), classes)
    images, targets, positions = (
        job.world.whole(tensor, job.training.batch) for tensor in (batch.images, batch.targets, batch.positions)
    )
    images, mixtures = mix(images, job.augment, job.seed, epoch, positions)
    targets = mixed_by_kind(targets, kind, mixtures, classes)
    return job.world.own(images), job.world.own(targets)


def learning_rate(state: State, job: Job, step: int) -> float:
    """The learning rate of step `step` (from 0), before any rule's multiplier."""
    return job.optimizer.lr * rate(job.schedule, step, job.span, state.plateau.drops, state.warmed)


def follow(state: State, job: Job) -> None:
    """What follows the weights after a step: lookahead, then their average."""
    options = job.optimizer
    if options.lookahead is not None:
        look_ahead(state.model, state.slow, state.step, options.lookahead)
    if state.average is not None and options.average is not None and is_due(options.average, state.step, job.span):
        add_to_average(state.average, state.model, options.average)


def is_looked_at(state: State, job: Job) -> bool:
    """Whether the host checks the next step's loss before its update; on a GPU only some, since the check waits for it.

    A checkpoint follows only a step that was checked, so that every checkpoint is good. No more steps lie between two
    checks than `state.recent` holds.
    """
    span, step = job.span, state.step + 1
    intervals = (
        LOOK_EVERY[torch.device(job.engine.device).type],
        span.steps_per_epoch,
        job.checkpoint_every.steps(span.steps_per_epoch, span.total_steps),
    )
    return state.start_loss is None or step >= span.total_steps or any(step % every == 0 for every in intervals)


def check(state: State, job: Job, inputs: Tensor) -> None:
    """Raise `Exploded` if a step since the last check had NaN or inf, or if the mean loss has exploded.

    The update of the step with the images `inputs` (N, C, H, W) is not done yet.
    """
    stop, recent = job.stop, state.recent.read(state.step)
    for step, loss, length in recent:
        if not math.isfinite(loss) or not math.isfinite(length):
            raise Exploded(_not_finite(step, loss, length, state, job, inputs))
    losses = [loss for _, loss, _ in recent]
    if state.start_loss is None:
        state.start_loss = stop.start(losses)
    if stop.exploded(losses, state.step, state.start_loss):
        raise Exploded(_exploded(losses, state, job))
    if state.scaler.is_enabled() and state.scaler.get_scale() < SMALLEST_SCALE:
        raise Exploded(
            f"{moment(state.step, job)}: the gradient holds NaN or inf at any scale of fp16's loss; steps are "
            "skipped. Mend with --precision fp32"
        )


def _exploded(losses: Sequence[float], state: State, job: Job) -> str:
    count, start = len(losses), abs(losses[0]) if state.start_loss is None else state.start_loss
    allowed, lasting = job.stop.allowed(state.step, count), job.stop.allowed(job.stop.warmup + SETTLING, WINDOW)
    later = "" if allowed == lasting else f" (later {lasting:g} times)"
    which = f"{'last' if count == WINDOW else 'first'} {many(count, 'step')}"
    guess = "the loss of a guess" if start == job.guess_loss else "the first loss"
    if job.guess_loss <= 0 and state.start_loss is not None:
        guess = f"the median size of the first {WINDOW} losses"
    return (
        f"{moment(state.step, job)}: the mean training loss of the {which} is {sum(losses) / count:.4g}, above "
        f"{allowed:.3g} times {start:.4g}, {guess}{later}; the step was not taken. {_slower(job)}; --explosion N "
        f"allows N times (now {job.explosion:g}), 0 any"
    )


def _not_finite(step: int, loss: float, length: float, state: State, job: Job, inputs: Tensor) -> str:
    """The message for NaN or inf in step `step` (from 0), which the device may have computed some steps ago."""
    what = f"the training loss is {loss:g}"
    if math.isfinite(loss):
        what = f"the norm of the gradient is {length:g}, where the training loss is {loss:.4g}"
    if step < state.step:
        device, every = job.engine.device, LOOK_EVERY[torch.device(job.engine.device).type]
        taken = f"seen at step {state.step + 1}, since {device} is asked every {every} steps; no checkpoint has it"
        return f"{moment(step, job)}: {what}; {taken}. {_slower(job)}"
    mend = _slower(job)
    if (images := broken_images(inputs)) is not None:
        what, mend = f"{what}: {images}", "Mend the images"
    elif (weights := broken(state.model)) is not None:
        what = f"{what}: {weights}"
    elif step == 0:
        what += ", before any step was taken, so that no rate mends it"
        mend = "Mend with another --init, images of more pixels (--size)"
        mend += " or --precision fp32" if job.engine.precision != "fp32" else " or a look at the network and its loss"
    return f"{moment(step, job)}: {what}; the step was not taken. {mend}"


def moment(step: int, job: Job) -> str:
    """Step `step` (from 0) and its epoch in words, both counted from 1."""
    return f"step {step + 1} (epoch {step // job.span.steps_per_epoch + 1})"


def _slower(job: Job) -> str:
    return f"Mend with a lower --lr (now {job.optimizer.lr:g}) or a longer --schedule.warmup"


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of everything random inside optimizer step `step`, in process `rank` of several."""
    text = f"{seed} {step} {rank}" if rank else f"{seed} {step}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little")
