import math

import pytest
import torch

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.training.options import EarlyStopping, Schedule
from convsmith.training.schedule import Span, Watch, plateaued, rate, watched

SPAN = Span(steps_per_epoch=10, total_steps=100)


def rates(*steps: int, **fields: object) -> list[float]:
    return [rate(Schedule(**fields), step, SPAN) for step in steps]


def test_constant():
    assert rates(0, 50, 99, kind="constant") == [1, 1, 1]


def test_steps_fall_at_their_moments_however_they_are_stated():
    at = (Duration(3, "ep"), Duration(60, "%"), Duration(90, "steps"))
    assert rates(0, 29, 30, 59, 60, 89, 90, 99, kind="step", at=at, factor=0.5) == [
        1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125,
    ]  # fmt: skip


def test_cosine_starts_at_the_peak_and_ends_one_step_above_the_floor():
    assert rates(0, 50, kind="cosine") == [1, pytest.approx(0.5)]
    assert rates(99, kind="cosine") == [pytest.approx((1 + math.cos(math.pi * 0.99)) / 2)]
    assert rates(100, 150, kind="cosine", floor=0.1) == [pytest.approx(0.1), pytest.approx(0.1)]
    assert rates(50, kind="cosine", floor=0.2) == [pytest.approx(0.6)]


def test_linear_falls_evenly():
    assert rates(0, 25, 50, 75, 100, kind="linear") == [1, 0.75, 0.5, 0.25, 0]
    assert rates(50, kind="linear", floor=0.5) == [0.75]


@pytest.mark.parametrize("kind", ["constant", "cosine", "linear", "plateau"])
def test_warmup_rises_evenly_and_reaches_the_peak_when_it_is_over(kind):
    rising = rates(0, 1, 2, 3, 4, kind=kind, warmup=Duration(4, "steps"))
    assert rising == [pytest.approx(x) for x in (0.2, 0.4, 0.6, 0.8, 1.0)]


def test_after_the_warmup_the_fall_spans_what_is_left():
    one_cycle = {"kind": "linear", "warmup": Duration(20, "%")}
    assert rates(20, 60, 100, **one_cycle) == [1, 0.5, 0]
    assert rates(99, kind="cosine", warmup=Duration(100, "steps")) == [pytest.approx(100 / 101)]


def test_every_rate_lies_in_its_bounds():
    for kind in ("constant", "step", "exponential", "cosine", "linear", "one_cycle"):
        schedule = Schedule(
            kind=kind, warmup=Duration(1, "ep"), floor=0.01, at=(Duration(5, "ep"),) if kind == "step" else ()
        )
        assert all(0 < rate(schedule, step, SPAN) <= 1 for step in range(100))


def test_exponential_falls_by_its_factor_after_each_period():
    # The lectures' 0.9 for each epoch is the kind's own factor.
    assert rates(0, 9, 10, 19, 20, 99, kind="exponential") == [
        1,
        1,
        0.9,
        0.9,
        pytest.approx(0.81),
        pytest.approx(0.9**9),
    ]
    # EfficientNet's 0.97 every 2.4 epochs.
    efficient = {"kind": "exponential", "factor": 0.97, "every": Duration(2.4, "ep")}
    assert rates(0, 23, 24, 47, 48, **efficient) == [1, 1, 0.97, 0.97, pytest.approx(0.97**2)]


def test_one_cycle_is_torchs():
    span = Span(steps_per_epoch=10, total_steps=100)
    schedule = Schedule(kind="one_cycle", warmup=Duration(30, "%"), floor=0.01)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # torch ends its rise a step early, as it counts from the first step to the last one.
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=101, pct_start=31 / 101, cycle_momentum=False, final_div_factor=4
    )
    for step in range(101):
        assert rate(schedule, step, span) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12), step
        optimizer.step()
        if step < 100:
            theirs.step()


def test_a_low_rate_lasts_until_the_training_error_is_below_the_threshold():
    at = (Duration(50, "%"),)
    schedule = Schedule(kind="step", at=at, warmup_error=0.8)
    assert [rate(schedule, step, SPAN, warmed=False) for step in (0, 49, 50)] == [0.1, 0.1, 0.1]
    assert [rate(schedule, step, SPAN, warmed=True) for step in (0, 49, 50)] == [1, 1, 0.1]
    assert rate(Schedule(warmup_error=0.8, warmup_rate=0.01), 5, SPAN, warmed=False) == 0.01


def test_plateau_falls_by_the_drops():
    schedule = Schedule(kind="plateau", factor=0.1)
    assert [rate(schedule, 50, SPAN, drops) for drops in range(3)] == [1, pytest.approx(0.1), pytest.approx(0.01)]


def test_the_watch_smooths_and_remembers_the_best():
    watch = watched(Watch(), 2.0, 10, 0.5)
    assert (watch.smoothed, watch.best, watch.best_step) == (2.0, 2.0, 10)
    watch = watched(watch, 1.0, 20, 0.5)
    assert (watch.smoothed, watch.best, watch.best_step) == (1.5, 1.5, 20)
    watch = watched(watch, 3.0, 30, 0.5)
    assert (watch.smoothed, watch.best, watch.best_step) == (2.25, 1.5, 20)
    assert watched(watch, 1.0, 40, 0.0).smoothed == 1.0


def test_one_bad_evaluation_does_not_start_the_wait_anew():
    watch = Watch()
    for step, loss in enumerate((1.0, 0.9, 5.0, 0.8), 1):
        watch = watched(watch, loss, step, 0.5)
    assert watch.best_step == 2


def test_a_plateau_drops_after_its_patience_and_then_waits_again():
    schedule = Schedule(kind="plateau", patience=Duration(2, "ep"))
    watch = watched(Watch(), 1.0, 10, 0.0)
    drops = []
    for step in range(20, 80, 10):
        watch = plateaued(watched(watch, 2.0, step, 0.0), schedule, step, SPAN)
        drops.append(watch.drops)
    assert drops == [0, 1, 1, 2, 2, 3]
    assert plateaued(watch, Schedule(kind="constant"), 1000, SPAN) == watch


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "step"}, "schedule.at: a step schedule needs the moments at which it falls, such as 50%,75%"),
        ({"at": (Duration(5, "ep"),)}, "schedule.at belongs to the step schedule, not to cosine"),
        ({"factor": 0}, "schedule.factor: expected a number above 0, at most 1, received 0"),
        ({"factor": 1.5}, "schedule.factor: expected a number above 0, at most 1, received 1.5"),
        ({"every": Duration(0, "ep")}, "schedule.every: expected a duration above 0, received 0ep"),
        ({"warmup_rate": 0.0}, "schedule.warmup_rate: expected a number above 0, at most 1, received 0.0"),
        ({"warmup_error": 80.0}, "schedule.warmup_error: expected a number above 0, at most 1, received 80.0"),
        (
            {"warmup_error": 0.8, "warmup": Duration(1, "ep")},
            "schedule.warmup and schedule.warmup_error both say how to begin; give one",
        ),
        ({"kind": "one_cycle"}, "schedule.warmup: one_cycle needs a length for its rise, such as 30%"),
        ({"floor": -0.1}, "schedule.floor: expected a number from 0 to 1, received -0.1"),
    ],
)
def test_impossible_schedules(fields, message):
    with pytest.raises(UsageError, match=message):
        Schedule(**fields)


def test_impossible_smoothing():
    with pytest.raises(UsageError, match=r"early_stopping.smoothing: expected a number from 0 to below 1, received 1"):
        EarlyStopping(smoothing=1)
