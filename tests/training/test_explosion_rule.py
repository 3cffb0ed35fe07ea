"""The rule by which a loss has exploded: its numbers, and recorded curves of good and of exploding runs."""

import json
import math
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from convsmith.recipes.recipe import Recipe
from convsmith.training.explosion import SETTLING, WINDOW, Stop


def stopped(losses: list[float], stop: Stop) -> int | None:
    """The step (from 1) at which a run with these losses stops; None where it does not."""
    start = None
    for step in range(len(losses)):
        recent = losses[max(0, step + 1 - WINDOW) : step + 1]
        start = stop.start(recent) if start is None else start
        if not math.isfinite(losses[step]) or stop.exploded(recent, step, start):
            return step + 1
    return None


def test_the_start_is_the_larger_of_the_first_loss_and_a_guess():
    stop = Stop(3, 0.7)
    assert stop.start([0.01]) == 0.7  # a start from good weights
    assert stop.start([2.5]) == 2.5
    assert stop.start([-2.5]) == 2.5


def test_without_the_loss_of_a_guess_the_start_is_the_median_size_of_the_first_20_losses():
    losses = [-1.0, 2.0, -3.0, 50.0] * 5
    for guess in (0.0, -4.0):
        assert [Stop(3, guess).start(losses[:count]) for count in (1, 19, 20)] == [None, None, 2.5]


def test_the_limit_is_wider_for_the_first_steps_and_while_the_rate_warms_up():
    stop = Stop(3, 0.7, warmup=6)
    assert [stop.allowed(step, step + 1) for step in (0, 1, 3, 19)] == [180, 90, 45, 9]
    assert [stop.allowed(step, 20) for step in (20, 105, 106, 1000)] == [9, 9, 3, 3]
    assert [Stop(3, 0.0).allowed(step, count) for step, count in ((0, 1), (19, 20), (100, 20))] == [180_000, 27, 9]
    assert Stop(0, 0.7).allowed(0, 1) == math.inf


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("guess", [0.7, 0.0])
def test_the_scale_of_the_loss_plays_no_part(scale, guess):
    stop = Stop(3, guess * scale)
    good = [0.7, 0.9, 3.9, 0.8, 0.6, 0.7] * 20
    assert stopped([loss * scale for loss in good], stop) is None
    assert stopped([loss * scale for loss in good + [30.0] * 20], stop) in range(121, 126)


@pytest.mark.parametrize("shift", [-5.0, -1.1, 0.0])
def test_a_loss_of_either_sign_may_waver_and_may_fall(shift):
    stop = Stop(3, 0.0)
    wavering = [math.cos(step) * 0.5 + 1.0 + shift for step in range(120)]
    assert stopped(wavering, stop) is None
    assert stopped(wavering + [-float(10**power) for power in range(30)], stop) is None
    assert stopped(wavering + [100.0] * 20, stop) in range(121, 141)


def test_a_start_of_0_is_compared_with_nothing():
    assert stopped([0.0] * 140 + [1.0] * 40, Stop(3, 0.0)) is None


# Recorded by benchmarks/curves.py: the losses of every step of runs on small sets, at their recipes' rates and above.
CURVES = json.loads((Path(__file__).parent / "curves.json").read_text())


def runs(good: bool) -> list[Any]:
    return [
        pytest.param(case, run, id=f"{name}-{run['rate']}-{run['seed']}")
        for name, case in CURVES.items()
        for run in case["runs"]
        if (run["rate"] == 1) == good
    ]


def stop_of(case: dict[str, Any]) -> Stop:
    return Stop(Recipe().explosion, case["guess"], case["warmup"])


@pytest.mark.parametrize(("case", "run"), runs(good=True))
def test_no_good_run_is_stopped(case, run):
    assert stopped(run["losses"], stop_of(case)) is None


@pytest.mark.parametrize(("case", "run"), runs(good=False))
def test_a_run_that_explodes_is_stopped_soon(case, run):
    """By 30 steps after its warm-up, or before NaN, or where 100 steps after it the loss is still above the limit.

    But those that come down to where they began by themselves.
    """
    losses, stop = run["losses"], stop_of(case)
    start = max(case["guess"], losses[0])
    step = stopped(losses, stop)
    if step is None:
        assert not run["finite"] or mean(losses[-10:]) < 3 * start
    else:
        assert max(losses[:step]) > 3 * start
        assert step <= case["warmup"] + 30 or step == case["warmup"] + SETTLING + 1


def test_the_curves_are_of_at_least_four_sets_with_five_seeds_and_of_runs_that_explode():
    sets = {name for name, case in CURVES.items() if sum(run["rate"] == 1 for run in case["runs"]) >= 5}
    assert {"digits", "mnist 500", "cifar 2000 photos", "pets 48"} <= sets
    caught = [stopped(run.values[1]["losses"], stop_of(run.values[0])) for run in runs(good=False)]
    assert sum(step is not None for step in caught) >= 20


def test_one_batch_and_an_epoch_would_stop_good_runs():
    """Why the mean is over 20 steps: single losses and means over the six steps of an epoch go above the limit."""
    case = CURVES["pets 48"]
    good = [run["losses"] for run in case["runs"] if run["rate"] == 1]
    peaks = {
        window: max(mean(losses[i : i + window]) for losses in good for i in range(len(losses) - window + 1))
        for window in (1, case["steps_per_epoch"], WINDOW)
    }
    assert [peak / case["guess"] > 3 for peak in peaks.values()] == [True, True, False]
