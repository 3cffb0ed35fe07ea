"""Errors of a network in training: a norm that would see one value is refused before the run; others are explained."""

import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import nn

from convsmith.base.errors import ConvsmithError, UsageError
from convsmith.nets.modules.taps import hooked
from convsmith.report.text import many
from convsmith.runs.directory import RunDirectory
from convsmith.training.distributed import is_of_connection
from convsmith.training.job import Job, State
from convsmith.training.rules import grouped, set_training
from convsmith.work.prepare import Plan, auxiliary_heads

# The errors of torch's norms for a channel with a single value, whose deviation is not defined.
_ONE_VALUE = ("more than 1 value per channel", "more than 1 spatial element")
_OURS = Path(__file__).parents[1]
_STEP = ("training/gradient.py", "training/evaluate.py")


class StepFailed(ConvsmithError, RuntimeError):
    """The network or the user's own task raised an error in a training step."""


def check_batch(plan: Plan, processes: int = 1) -> None:
    """Raise UsageError, with the mend, if a norm would see a single value of a channel in some step.

    The smallest part of a batch goes through the network on torch's meta device, which computes shapes alone.
    """
    recipe = plan.recipe
    batch = min(recipe.batch, len(plan.dataset.train)) // processes
    if not recipe.by_steps or batch < 1 or smallest_part(batch, recipe.optimizer.accumulate) > 1:
        return
    module = plan.network.make(recipe.seed)
    grouped(module, recipe.optimizer.rules, recipe.optimizer.weight_decay)  # frozen norms keep their statistics
    set_training(module)
    norm = _norm_of_one_value(module, (1, plan.dataset.preprocess.channels, *plan.dataset.preprocess.size), plan)
    if norm is not None:
        raise UsageError(f"batch: {norm} sees a single value of each channel and needs two or more; mend {_mend(plan)}")


def smallest_part(batch: int, parts: int) -> int:
    """The number of images in the smallest of `parts` parts of a batch."""
    return len(torch.arange(batch).chunk(parts)[-1])


def _norm_of_one_value(module: nn.Module, shape: tuple[int, ...], plan: Plan) -> str | None:
    """The norm that refuses one image of this shape; None if no norm does, or if the meta device fails."""
    norms = [(name, layer) for name, layer in module.named_modules() if "Norm" in type(layer).__name__]
    entered: list[str] = []
    try:
        sample = torch.empty(shape, device="meta")
        heads = auxiliary_heads(plan.network) if plan.recipe.loss.auxiliary else ()
        with hooked(norms, lambda name, *_: entered.append(name), before=True):
            module.to("meta")(sample, **({"at": heads} if heads else {}))
    except ValueError as error:
        if any(text in str(error) for text in _ONE_VALUE):
            return entered[-1] if entered else "a norm"
    except Exception:
        return None  # a user's module may need real numbers; `explained` handles an error in its first step
    return None


def _mend(plan: Plan) -> str:
    recipe = plan.recipe
    images = len(plan.dataset.train)
    batch, parts = min(recipe.batch, images), recipe.optimizer.accumulate
    if parts > 1 and batch > 1:
        fewer = next(n for n in range(min(parts, batch), 0, -1) if smallest_part(batch, n) > 1)
        return f"with fewer parts of the batch of {batch} (--optimizer.accumulate {fewer}) or a larger --batch"
    return "with --batch 2 or more" if images > 1 else "with more images for training, of which there is one"


@contextmanager
def explained(job: Job, state: State, run: RunDirectory) -> Generator[None]:
    """Turn errors of the network and the task in a step into StepFailed, one line; the traceback goes to the log."""
    try:
        yield
    except (ConvsmithError, KeyboardInterrupt):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        # The end of another process is not an error of the network; `World.watch` reports it.
        gone = job.world.part.size > 1 and is_of_connection(error)
        if gone or not any(frame.filename.endswith(_STEP) for frame in frames):
            raise
        with suppress(ConvsmithError, OSError):
            if job.world.part.leads:
                run.log("".join(traceback.format_exception(error)))
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        own = [frame for frame in frames if _is_own(frame.filename)]
        where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
        size = "x".join(map(str, (job.training.batch, job.preprocess.channels, *job.preprocess.size)))
        raise StepFailed(
            f"step {state.step + 1}: the network refused a batch{where}: {type(error).__name__}: {reason}. It received "
            f"images of {size} and is to give an output for each of {many(job.classes, 'class', 'classes')}; "
            f"the whole traceback is in {run.path / 'log.txt'}"
        ) from None


def _is_own(file: str) -> bool:
    """Whether a file is the user's: neither Convsmith's nor a library's."""
    path = Path(file)
    return path.is_file() and not path.is_relative_to(_OURS) and "site-packages" not in path.parts
