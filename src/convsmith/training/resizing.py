"""Progressive resizing: training images that grow with the step (Howard 2018; FFCV), a pure function of the step."""

from itertools import pairwise

from torch import Tensor
from torch.nn.functional import interpolate

from convsmith.training.job import Job
from convsmith.training.options import Progressive
from convsmith.training.schedule import Span

Size = tuple[int, int]


def resized(inputs: Tensor, job: Job, step: int) -> Tensor:
    """The normalized batch (N, C, H, W) at the size of optimizer step `step` (from 0): bilinear, antialiased."""
    if job.resize is None:
        return inputs
    full = (inputs.shape[2], inputs.shape[3])
    size = size_at(job.resize, full, step, job.span)
    if size == full:
        return inputs
    scaled = interpolate(inputs, size=size, mode="bilinear", align_corners=False, antialias=True)
    return scaled.contiguous(memory_format=job.engine.memory_format)


def size_at(rule: Progressive, full: Size, step: int, span: Span) -> Size:
    """Height and width of training images at optimizer step `step`, of images that evaluation sees at `full`."""
    start, end = (moment.steps(span.steps_per_epoch, span.total_steps) for moment in (rule.start, rule.end))
    if step >= end:
        return _size(rule, full, rule.last)
    done = max(0, step - start) / max(1, end - start)
    return _size(rule, full, rule.first + done * (rule.last - rule.first))


def sizes(rule: Progressive, full: Size) -> tuple[Size, ...]:
    """Every size between the first and the last, the smallest first."""
    steps = (k + 0.5 for k in range(max(full) // rule.multiple + 1))
    turns = {k * rule.multiple / side for k in steps for side in full}
    shares = sorted({rule.first, rule.last, *(turn for turn in turns if rule.first < turn < rule.last)})
    between = [(low + high) / 2 for low, high in pairwise(shares)]
    return tuple(dict.fromkeys(_size(rule, full, share) for share in (rule.first, *between, rule.last)))


def _size(rule: Progressive, full: Size, share: float) -> Size:
    height, width = (_side(rule, side, share) for side in full)
    return height, width


def _side(rule: Progressive, full: int, share: float) -> int:
    """The nearest multiple, at least one; the whole side is taken as it is, whether a multiple or not."""
    if share == 1:
        return full
    return min(full, max(1, round(full * share / rule.multiple)) * rule.multiple)
