"""The loop: epochs of steps, evaluations, log lines and checkpoints, until the end or a reason to stop."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.base.result import Number, Result, known, logged, summary
from convsmith.data.augment import augment, normalize
from convsmith.data.loaders import Loader
from convsmith.runs.checkpoints import save_checkpoint
from convsmith.runs.directory import RunDirectory
from convsmith.runs.lock import Paused
from convsmith.training.average import refresh_statistics
from convsmith.training.evaluate import evaluate
from convsmith.training.interrupt import Interrupted, Request, stop_requests
from convsmith.training.job import LIVE, Job, State, Sums, pack
from convsmith.training.memory import memory_explained
from convsmith.training.not_finite import broken, overflowing
from convsmith.training.options import Swa
from convsmith.training.rules import set_training
from convsmith.training.schedule import plateaued, watched
from convsmith.training.solver import Beside
from convsmith.training.step import Exploded, learning_rate, moment, train_step


@dataclass
class Clock:
    """Seconds in training steps and waiting for data, and images, since the epoch (or its rest) began."""

    mark: float
    training: float = 0.0
    waiting: float = 0.0
    images: int = 0

    @property
    def busy(self) -> float:
        """Seconds that went into training: steps and the wait for their data."""
        return self.training + self.waiting


def fit(job: Job, state: State, run: RunDirectory, beside: Beside) -> str:
    """The solver `steps`: train from where `state` stands to the end; says "finished" or "stopped early".

    After a pause a resume goes on as if there had been none: the length of the run is fixed. Raises `Interrupted` after
    a first Ctrl-C, with a checkpoint written, and `Exploded` or `OutOfMemory` with the last checkpoint as it was.
    Torch's global generator is left as it was found. Of several processes all take part, and the first one writes.
    """
    if job.world.part.size > 1 and job.training.pack():
        raise UsageError(f"a loader with a state works in one process, received {job.world.part.size}")
    heard = stop_requests() if beside.request is None else nullcontext(beside.request)
    with memory_explained(job), job.engine.generator_kept(), heard as request:
        while state.step < job.span.total_steps:
            # Only where an epoch has ended: a run resumed in the middle of one decides when the straight one does.
            if state.step % job.span.steps_per_epoch == 0 and _should_stop(job, state):
                return "stopped early"
            clock = Clock(time.perf_counter())
            _train_epoch(job, state, run, request, clock, beside)
            row, stop = _finish_epoch(job, state, run, clock, beside, request)
            if state.step >= job.span.total_steps:
                break
            if stop:
                raise Interrupted
            if (pauses := beside.after_epoch) is not None and job.world.lead(
                lambda row=row, pauses=pauses: bool(pauses(row))
            ):
                save_state(job, state, run, best=False)
                raise Paused
    return "finished"


def _train_epoch(job: Job, state: State, run: RunDirectory, request: Request, clock: Clock, beside: Beside) -> None:
    """Steps until the epoch (or the run) ends; state.sums holds what a checkpoint in its middle had counted."""
    set_training(state.model)
    epoch, start = divmod(state.step, job.span.steps_per_epoch)
    every = job.checkpoint_every.steps(job.span.steps_per_epoch, job.span.total_steps)
    batches = job.training.epoch(epoch, start)
    counted = 0.0
    mark, idle = time.perf_counter(), job.engine.mark()
    for batch in batches:
        ready = time.perf_counter()
        # Calls return while a GPU still computes.
        clock.waiting += ready - mark if idle() else 0.0
        stop = train_step(state, batch, job, lambda: request.made)
        mark, idle = time.perf_counter(), job.engine.mark()
        clock.training += mark - ready
        clock.images += job.training.batch
        state.images += job.training.batch
        state.busy += clock.busy - counted
        counted = clock.busy
        ended = state.step % job.span.steps_per_epoch == 0 or state.step >= job.span.total_steps
        if not ended and (stop or state.step % every == 0):
            _note_time(state, clock)
            save_state(job, state, run, best=False)
            if stop:
                raise Interrupted
        beside.beat(state.step, epoch + 1)
        beside.progress.update(state.step, lambda: f"epoch {epoch + 1}  loss {_mean_loss(state):.4f}")
        if ended:
            return


def _mean_loss(state: State) -> float:
    return state.sums.loss.item() / state.sums.images


def _finish_epoch(
    job: Job, state: State, run: RunDirectory, clock: Clock, beside: Beside, request: Request
) -> tuple[dict[str, Any], bool]:
    """Evaluate, log, checkpoint; gives the row of the log, and whether a stop was asked for."""
    span, world = job.span, job.world
    epoch = -(-state.step // span.steps_per_epoch)
    row = {
        "epoch": epoch,
        "step": state.step,
        "lr": learning_rate(state, job, state.step - 1),
        "train_loss": _mean_loss(state),
    }
    if job.task.counts_right:
        row["train_accuracy"] = state.sums.correct.item() / state.sums.images
    row |= {f"train_{name}": value.item() / state.sums.images for name, value in state.sums.parts.items()}
    if job.optimizer.clip is not None:
        row["gradient_norm"] = state.sums.norm.item() * job.training.batch / state.sums.images
    threshold = job.schedule.warmup_error
    if threshold is not None and job.task.counts_right:
        state.warmed = state.warmed or 1 - row["train_accuracy"] < threshold
    every = job.evaluate_every.steps(span.steps_per_epoch, span.total_steps)
    last = state.step >= span.total_steps
    best = False
    if job.validation is not None and (last or state.step % every < span.steps_per_epoch):
        found, shown, followed = _validated(job, state, job.validation, row["train_loss"])
        row |= {f"val_{name}": value for name, value in shown.items()}
        best = _better(found, state.best)
        state.best = found if best else state.best
        state.stopping = watched(state.stopping, followed, state.step, job.early_stopping.smoothing)
        state.plateau = watched(state.plateau, followed, state.step, job.early_stopping.smoothing)
        state.plateau = plateaued(state.plateau, job.schedule, state.step, span)
    _note_time(state, clock)
    row |= {
        "seconds": round(state.seconds, 3),
        "images_per_second": round(clock.images / clock.busy, 1) if clock.busy else None,
        "data_wait": round(clock.waiting / clock.busy, 4) if clock.busy else None,
    }
    world.lead(lambda: run.append_metrics(row))
    job.tracker.row(row)
    beside.progress.line(epoch_line(row, -(-span.total_steps // span.steps_per_epoch)))
    state.sums = Sums.zero(job.engine.device, job.task.parts)
    every = job.checkpoint_every.steps(span.steps_per_epoch, span.total_steps)
    due = every <= span.steps_per_epoch or state.step % every < span.steps_per_epoch
    stop = world.agree(request.made)
    if best or last or due or stop or _should_stop(job, state):
        save_state(job, state, run, best)
    return row, stop


def _validated(
    job: Job, state: State, images: Loader, train_loss: float
) -> tuple[dict[str, Any], dict[str, float | None], float]:
    """The summary of an evaluation of the weights to keep, the numbers for the log, and the value that is followed.

    Less is better in the value that is followed. Raises `Exploded` if the loss or the score is NaN or infinite.
    """
    world = job.world
    if state.kept is not state.model and isinstance(job.optimizer.average, Swa):
        refresh_statistics(state.kept, _training_inputs(job))
        world.same_statistics(state.kept, mean=True)
    world.same_statistics(state.kept)
    result = evaluate(state.kept, images, job.task, job.preprocess, job.engine, world, job.seed)
    # All processes take the numbers of one: a decision must not differ between them by a last bit.
    found, shown, followed = world.lead(lambda: _decided_by(result))
    if not math.isfinite(followed):
        raise Exploded(_no_validation_loss(job, state, images, train_loss, shown))
    if not math.isfinite(found["score"]):
        raise Exploded(
            f"{moment(state.step - 1, job)}: the validation score is {found['score']:g}, where the loss is "
            f"{abs(followed):.4g}. Mend the task: its score has to be finite after any epoch"
        )
    return found, shown, followed


def _decided_by(result: Result) -> tuple[dict[str, Any], dict[str, float | None], float]:
    followed = next(number.merit for number in result.numbers if number.name == result.watch)
    return summary(result), logged(result), math.nan if followed is None else -followed


def _no_validation_loss(
    job: Job, state: State, images: Loader, train_loss: float, shown: Mapping[str, float | None]
) -> str:
    """The message for a validation loss of NaN or inf, with its origin if that is found."""
    name, value = next(iter(shown.items()))
    what = f"{moment(state.step - 1, job)}: the validation {name} is {value:g}"
    model, size = state.kept, job.preprocess.size
    slower = f"a lower --lr (now {job.optimizer.lr:g}), a longer --schedule.warmup"
    if (weights := broken(model)) is not None:
        return f"{what}: {weights}. Mend with {slower}"
    model.eval()
    inputs = (normalize(b.images, job.preprocess, memory_format=job.engine.memory_format) for b in images.epoch(0))
    with job.engine.uncompiled():
        layer = overflowing(model, inputs)
    if layer is None:
        return f"{what}, where all weights and outputs are finite: the task's evaluation gives that. Mend the task"
    return (
        f"{what}, where the training loss is {train_loss:.4g}: {layer} in evaluation. Norms that see a batch in "
        f"training hide such sizes there. Mend with a larger --size (now {size[1]}x{size[0]}), a larger --batch (now "
        f"{job.training.batch}), {slower} or --optimizer.clip 1"
    )


def _training_inputs(job: Job) -> Iterator[Tensor]:
    """The first epoch's images (N, C, H, W) as evaluation would see them."""
    with _unmoved(job.training):
        for batch in job.training.epoch(0):
            images = augment(batch.images, (), job.seed, 0, batch.positions, job.preprocess)
            yield normalize(images, job.preprocess, memory_format=job.engine.memory_format)


@contextmanager
def _unmoved(loader: Loader) -> Iterator[None]:
    """The state of the loader is afterwards as it was."""
    kept = {name: tensor.clone() for name, tensor in loader.pack().items()}
    try:
        yield
    finally:
        loader.unpack(kept)


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """An epoch's numbers for people: those of training, those of validation, the speed."""
    parts = [f"epoch {row['epoch']:>3}/{epochs}"]
    for split in ("train", "val"):
        for key, value in row.items():
            if key.startswith(f"{split}_"):
                number = known(key.removeprefix(f"{split}_"), value)
                name = {"accuracy": "acc"}.get(number.name, number.title)
                parts.append(f"{f'{split} ' if number.name == 'loss' else ''}{name} {_shown(number)}")
    if row["images_per_second"] is not None:
        parts.append(f"{row['images_per_second']:,.0f} images/s")
    return "  ".join(parts)


def _shown(number: Number) -> str:
    if number.value is None:
        return "-"
    if number.name == "score":
        return f"{number.value:.4g}"
    return f"{number.value:6.2%}" if number.unit == "share" else f"{number.value:.4f}"


def _better(found: Mapping[str, Any], best: Mapping[str, Any] | None) -> bool:
    """Higher score, or the same with a lower loss."""
    if best is None:
        return True
    return (found["score"], -found.get("loss", 0.0)) > (best["score"], -best.get("loss", 0.0))


def _should_stop(job: Job, state: State) -> bool:
    """Whether the smoothed loss has not improved for the patience; a resumed run finds it in its checkpoint."""
    patience = job.early_stopping.patience
    if patience is None or state.stopping.smoothed is None:
        return False
    return state.step - state.stopping.best_step >= patience.steps(job.span.steps_per_epoch, job.span.total_steps)


def _note_time(state: State, clock: Clock) -> None:
    """Add the wall time since the last note to the run's total."""
    now = time.perf_counter()
    state.seconds += now - clock.mark
    clock.mark = now


def save_state(job: Job, state: State, run: RunDirectory, best: bool) -> None:
    """Write a checkpoint of the state. Raises `Exploded` if the state holds NaN or inf."""
    job.world.lead(lambda: _write_state(job, state, run, best))


def _write_state(job: Job, state: State, run: RunDirectory, best: bool) -> None:
    model, tensors, data = pack(state, job.training)
    for name, tensor in (model | tensors).items():
        if name.removeprefix(LIVE) not in state.unbounded and not bool(tensor.isfinite().all()):
            mend = f"a lower --lr (now {job.optimizer.lr:g})" if state.step else "other --weights, or another --init"
            raise Exploded(
                f"step {state.step}: {name} holds NaN or inf; no checkpoint was written of it. Mend with {mend}"
            )
    meta = {"state": data, "metrics_length": run.metrics_length()}
    save_checkpoint(run, state.step, model, tensors, meta, best=best, keep=job.keep)
