"""One optimiser step, on one screen."""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from convsmith.base.errors import ConvsmithError
from convsmith.data.augment import augment, mix, mixed_targets, normalise
from convsmith.data.augmentations import MIXING
from convsmith.data.loaders import Batch
from convsmith.training.average import add_to_average, is_due
from convsmith.training.gradient import backward, clip, sharpest
from convsmith.training.job import Job, State
from convsmith.training.lookahead import look_ahead
from convsmith.training.optimise import set_rate
from convsmith.training.resizing import resized
from convsmith.training.schedule import rate


class Exploded(ConvsmithError, ArithmeticError):
    """The training loss is no number any more, or far above its first value; nothing is written of such weights."""


# Steps between two looks at the loss, for which the device must have finished all before.
LOOK_EVERY = {"cpu": 1, "cuda": 16}


def train_step(state: State, batch: Batch, job: Job, asked: Callable[[], bool] = lambda: False) -> bool:
    """Take one step on a batch (of several processes each on its slice): augment, forward, backward, check, update.

    Says whether any process was `asked` to stop after it; of several, where this step is looked at.
    """
    epoch = state.step // job.span.steps_per_epoch
    # Dropout and its kin draw from the global generator: seeded by the step, there is no generator state to save.
    seed = step_seed(job.seed, state.step, job.world.part.rank)
    torch.manual_seed(seed)
    images = augment(batch.images, job.augment, job.seed, epoch, batch.positions, job.preprocess, samples=batch.samples)
    images, targets = mixed(batch._replace(images=images), job, epoch)
    inputs = normalise(images, job.preprocess, memory_format=job.engine.memory_format)
    inputs = resized(inputs, job, state.step)
    looks = is_looked_at(state, job)
    loss, correct, stop = job.world.totals(*backward(state, inputs, targets, job), asked(), looks)
    look(state, loss, job, looks or stop)
    if job.optimiser.sam is not None:
        with sharpest(state.model, job.optimiser.sam):
            torch.manual_seed(seed)
            backward(state, inputs, targets, job)
    if job.optimiser.clip is not None:
        state.sums.norm += clip(state, job.optimiser.clip)
    set_rate(state.optimiser, learning_rate(state, job, state.step))
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    follow(state, job)
    state.sums.loss += loss * job.training.batch
    state.sums.correct += correct
    state.sums.images += job.training.batch
    return stop


def mixed(batch: Batch, job: Job, epoch: int) -> tuple[Tensor, Tensor]:
    """A batch's images and targets after mixing; partners are drawn from the slices of all processes."""
    classes = len(job.task.labels)
    if not any(isinstance(step, MIXING) for step in job.augment):
        return batch.images, mixed_targets(batch.targets, (), classes)
    images, targets, positions = (job.world.whole(tensor, job.training.batch) for tensor in batch[:3])
    images, mixtures = mix(images, job.augment, job.seed, epoch, positions)
    targets = mixed_targets(targets, mixtures, classes)
    return job.world.own(images), job.world.own(targets)


def learning_rate(state: State, job: Job, step: int) -> float:
    """The learning rate of step `step` (from 0), before any rule's multiplier."""
    return job.optimiser.lr * rate(job.schedule, step, job.span, state.plateau.drops, state.warmed)


def follow(state: State, job: Job) -> None:
    """What follows the weights after a step: lookahead, then their average."""
    options = job.optimiser
    if options.lookahead is not None:
        look_ahead(state.model, state.slow, state.step, options.lookahead)
    if state.average is not None and options.average is not None and is_due(options.average, state.step, job.span):
        add_to_average(state.average, state.model, options.average)


def is_looked_at(state: State, job: Job) -> bool:
    """Whether the host looks at the next step's loss before its update; on a GPU, which would have to wait, at some.

    No checkpoint follows a step that was not looked at: it would be the last good state that is not.
    """
    span, step = job.span, state.step + 1
    intervals = (
        LOOK_EVERY[torch.device(job.engine.device).type],
        span.steps_per_epoch,
        job.checkpoint_every.steps(span.steps_per_epoch, span.total_steps),
    )
    return state.first_loss is None or step >= span.total_steps or any(step % every == 0 for every in intervals)


def look(state: State, loss: Tensor, job: Job, due: bool = True) -> None:
    """Note the loss of a step before its update; where it is `due`, check the worst since the last look."""
    state.sums.worst = torch.maximum(state.sums.worst, loss.double())  # of which one that is no number stays
    if due:
        check_loss(state, state.sums.worst.item(), job)
        state.sums.worst.zero_()


def check_loss(state: State, loss: float, job: Job) -> None:
    """Raise `Exploded` where the loss is no number, or above `explosion` times the larger of the first and a guess's.

    A run that starts from good weights begins far below the loss of a guess, which then stands for the first.
    """
    if state.first_loss is None and loss == loss:
        state.first_loss = loss
    first = max(state.first_loss or 0.0, job.guess_loss)
    limit = job.explosion * first if job.explosion else float("inf")
    if loss == loss and loss <= limit and loss != float("inf"):
        return
    epoch = state.step // job.span.steps_per_epoch + 1
    first = "nothing yet" if state.first_loss is None else f"{state.first_loss:.4g}"
    raise Exploded(
        f"step {state.step + 1} (epoch {epoch}): the training loss is {loss:.4g}, the first was {first}; "
        f"{_taken(job)}. Mend with a lower --lr (now {job.optimiser.lr:g}) or a longer --schedule.warmup"
    )


def _taken(job: Job) -> str:
    every = LOOK_EVERY[torch.device(job.engine.device).type]
    return "the step was not taken" if every == 1 else f"looked at every {every} steps, of which this one was not taken"


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of everything random inside optimiser step `step`, in process `rank` of several."""
    text = f"{seed} {step} {rank}" if rank else f"{seed} {step}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "little")
