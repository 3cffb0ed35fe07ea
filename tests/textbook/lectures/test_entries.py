"""Every figure of the lectures: computed is correct, and where printed differs the reason is proven."""

import math

import pytest
import torch

from convsmith_textbook.lectures.answer import answers, text
from convsmith_textbook.lectures.entries import ENTRIES, TOPICS
from convsmith_textbook.lectures.entry import LECTURES, equal, prints_as


@pytest.mark.parametrize("name", ENTRIES)
def test_ours_is_correct_and_every_difference_has_its_reason(name):
    found = answers(ENTRIES[name])
    for answer in found:
        assert answer.right, f"{answer.figure.name}: {answer.ours}, expected {answer.figure.correct}"
        if answer.verdict == "differs":
            assert answer.figure.why, f"{answer.figure.name}: {answer.figure.printed} and {answer.ours}"
        if answer.figure.mistake:
            assert answer.verdict == "differs"
            assert prints_as(answer.figure.printed, answer.shown), f"{answer.figure.name}: {answer.shown}"
    names = [answer.figure.name for answer in found]
    assert len(set(names)) == len(names)
    assert found or ENTRIES[name].quotes, "an entry shows something"


def test_the_checks_of_layers_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    for entry in [*TOPICS["how layers behave"].values(), *TOPICS["how networks learn, in NumPy"].values()]:
        entry.given(entry.compute)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.picture])
def test_pictures(name):
    entry = ENTRIES[name]
    picture = entry.given(entry.picture)
    assert picture.startswith("<svg")
    assert picture == entry.given(entry.picture)


def test_names_are_unique_and_lectures_known():
    assert len(ENTRIES) == sum(map(len, TOPICS.values()))
    for entry in ENTRIES.values():
        assert entry.places
        assert set(entry.lectures.split()) <= set(LECTURES)
        assert all(len(row) == len(entry.quotes[0]) for row in entry.quotes)


@pytest.mark.parametrize(
    ("printed", "value", "fits"),
    [
        ("13.6G", 13_620_576_256, True),
        ("13.6G", 15_470_264_320, False),
        ("16M", 16_777_216, True),  # cut
        ("35K", 34_848, True),  # rounded
        ("1.2M", 117_600, False),
        ("11x", 770.86, False),
        ("2.9e32", 1760**10, True),
        ("69,632", 69_888, False),
        ("< 1", 0.74, True),
        ("< 1", 1.0, False),
        ("1 to 2", 1.51, True),
        ("1 to 2", 0.79, False),
        ("C_out x K", 9, False),
        ("28x28", "28x28", True),
        (((1, 2), (3, 4)), ((1, 2), (3, 4)), True),
        ((2, 3, 5), (1, 2, 5), False),
    ],
)
def test_what_a_printed_number_covers(printed, value, fits):
    assert prints_as(printed, value) is fits


def test_equality_is_strict():
    assert equal(3, 3)
    assert not equal(3, 4)
    assert equal(0.5, 0.500001)
    assert not equal(0.5, 0.501)
    assert not equal(0.5, math.nan)
    assert not equal((1, 2), (1, 2, 3))


def test_text():
    assert text(25_557_032) == "25,557,032"
    assert text(0.739170) == "0.73917"
    assert text(((19, 25), (37, 43))) == "[19 25] [37 43]"
    assert text((True, "a")) == "[yes a]"
