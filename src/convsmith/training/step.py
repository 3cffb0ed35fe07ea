"""One optimiser step, on one screen."""

import hashlib

import torch

from convsmith.base.errors import ConvsmithError
from convsmith.data.augment import augment, mix, mixed_targets, normalise
from convsmith.data.loaders import Batch
from convsmith.training.average import is_due
from convsmith.training.gradient import backward, clip, sharpest
from convsmith.training.job import Job, State
from convsmith.training.lookahead import look_ahead
from convsmith.training.optimise import set_rate
from convsmith.training.schedule import rate


class Exploded(ConvsmithError, ArithmeticError):
    """The training loss is no number any more, or far above its first value; the weights were not updated."""


def train_step(state: State, batch: Batch, job: Job) -> None:
    """Take one step on a batch: augment, forward, backward, check, update."""
    epoch = state.step // job.span.steps_per_epoch
    # Dropout and its kin draw from the global generator: seeded by the step, there is no generator state to save.
    torch.manual_seed(step_seed(job.seed, state.step))
    images = augment(batch.images, job.augment, job.seed, epoch, batch.positions, job.preprocess, samples=batch.samples)
    images, mixtures = mix(images, job.augment, job.seed, epoch, batch.positions)
    inputs = normalise(images, job.preprocess, memory_format=job.engine.memory_format)
    targets = mixed_targets(batch.targets, mixtures, len(job.task.labels))
    loss, correct = backward(state, inputs, targets, job)
    check_loss(state, loss.item(), job)
    if job.optimiser.sam is not None:
        with sharpest(state.model, job.optimiser.sam):
            torch.manual_seed(step_seed(job.seed, state.step))
            backward(state, inputs, targets, job)
    if job.optimiser.clip is not None:
        state.sums.norm += clip(state, job.optimiser.clip)
    set_rate(state.optimiser, learning_rate(state, job, state.step))
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    follow(state, job)
    state.sums.loss += loss * len(batch.targets)
    state.sums.correct += correct
    state.sums.images += len(batch.targets)


def learning_rate(state: State, job: Job, step: int) -> float:
    """The learning rate of step `step` (from 0), before any rule's multiplier."""
    return job.optimiser.lr * rate(job.schedule, step, job.span, state.plateau.drops, state.warmed)


def follow(state: State, job: Job) -> None:
    """What follows the weights after a step: lookahead, then their average."""
    options = job.optimiser
    if options.lookahead is not None:
        look_ahead(state.model, state.slow, state.step, options.lookahead)
    if state.average is not None and options.average is not None and is_due(options.average, state.step, job.span):
        state.average.update_parameters(state.model)


def check_loss(state: State, loss: float, job: Job) -> None:
    """Stop before the update where the loss is no number, or above `explosion` times the first.

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
        f"the step was not taken. Mend with a lower --lr (now {job.optimiser.lr:g}) or a longer --schedule.warmup"
    )


def step_seed(seed: int, step: int) -> int:
    """The seed of everything random inside optimiser step `step`."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode(), digest_size=7).digest(), "little")
