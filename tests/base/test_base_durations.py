"""Lengths of training as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError, WrongType


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("90ep", 90, "ep"), ("1epoch", 1, "ep"), (" 2.5 epochs ", 2.5, "ep"), ("2000steps", 2000, "steps"),
        ("1 step", 1, "steps"), ("10%", 10, "%"), ("0.5%", 0.5, "%"), ("0ep", 0, "ep"),
    ],
)  # fmt: skip
def test_reading(text, amount, unit):
    assert Duration.parse(text) == Duration(amount, unit)


@pytest.mark.parametrize(
    "text", ["", "90", "ep", "-3ep", "3 weeks", "3ep5", "ep3", "1,5ep", "nanep", "infsteps", "3 %%"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError) as error:
        Duration.parse(text)
    assert str(error.value) == f"expected a duration such as '90ep', '2000steps' or '10%', received {text!r}"


@pytest.mark.parametrize("value", [90, 1.5, None, ["90ep"]])
def test_other_types_are_refused(value):
    with pytest.raises(WrongType, match=r"^expected a duration such as '90ep', '2000steps' or '10%', received "):
        Duration.parse(value)


def test_a_duration_stays_one():
    assert Duration.parse(Duration(3, "ep")) == Duration(3, "ep")


@pytest.mark.parametrize(
    ("text", "per_epoch", "total", "steps"),
    [
        ("90ep", 100, None, 9000), ("0.5ep", 7, None, 4), ("2000steps", 7, None, 2000), ("2.5steps", 7, None, 3),
        ("10%", 7, 95, 10), ("100%", 7, 95, 95), ("0%", 7, 95, 0), ("0.07ep", 100, None, 7), ("0.29ep", 100, None, 29),
        ("1.1%", 9, 1000, 11), ("0.57%", 9, 10_000, 57), ("1.13ep", 100, None, 113), ("33.3%", 9, 1000, 333),
    ],
)  # fmt: skip
def test_steps_are_rounded_up_and_only_where_there_is_something_to_round(text, per_epoch, total, steps):
    assert Duration.parse(text).steps(per_epoch, total) == steps


@given(st.integers(0, 10**5), st.integers(0, 10**4))
def test_hundredths_of_a_hundred_steps_are_whole(hundredths, epochs):
    assert Duration.parse(f"{hundredths // 100}.{hundredths % 100:02}ep").steps(100) == hundredths
    assert (
        Duration.parse(f"{hundredths // 100}.{hundredths % 100:02}%").steps(1, 10_000 * epochs) == hundredths * epochs
    )


def test_a_run_is_no_share_of_itself():
    with pytest.raises(
        UsageError, match=r"^the length of a run cannot be 10%, a share of itself; use epochs or steps$"
    ):
        Duration(10, "%").steps(100)


@pytest.mark.parametrize(
    ("duration", "text"),
    [(Duration(90.0, "ep"), "90ep"), (Duration(2.5, "%"), "2.5%"), (Duration(1_234_567, "steps"), "1234567steps")],
)
def test_writing(duration, text):
    assert str(duration) == text


@given(st.integers(0, 10**15) | st.floats(0, 1e12, allow_subnormal=False), st.sampled_from(["ep", "steps", "%"]))
def test_what_is_written_is_read_back(amount, unit):
    assert Duration.parse(str(Duration(amount, unit))) == Duration(amount, unit)
