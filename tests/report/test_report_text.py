"""Numbers and tables as text."""

import math
import subprocess
import sys

import pytest

from convsmith.base.errors import UsageError
from convsmith.report import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (7, "7"),
        (0.5, "0.5"),
        (999, "999"),
        (999.7, "1.00k"),
        (1000, "1.00k"),
        (61_706, "61.7k"),
        (999_950, "1.00M"),
        (25_557_032, "25.6M"),
        (138_357_544, "138M"),
        (4_089_284_608, "4.09G"),
        (1.5e12, "1.50T"),
        (2e15, "2.00P"),
        (3e18, "3000P"),
        (-25_557_032, "-25.6M"),
        (math.nan, "-"),
        (math.inf, "-"),
    ],
)
def test_short(value: float, shown: str) -> None:
    assert text.short(value) == shown


def test_count() -> None:
    assert text.count(25_557_032) == "25,557,032"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.983, "98.3%"),
        (1, "100.0%"),
        (0, "0.0%"),
        (0.9999, "99.99%"),
        (0.99999, "99.999%"),
        (0.9999999, ">99.999%"),
        (0.0001, "0.01%"),
        (1e-9, "<0.001%"),
        (math.nan, "-"),
    ],
)
def test_percent_never_rounds_to_all_or_none(value: float, shown: str) -> None:
    assert text.percent(value) == shown


def test_interval() -> None:
    assert text.interval(0.971, 0.990) == "97.1-99.0%"
    assert text.interval(0.9996, 1.0) == "99.96-100.0%"
    assert text.interval(0.51, 1 - 1e-16) == "51.0-100.0%"
    assert text.interval(1e-17, 0.49) == "0.0-49.0%"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (0.0123, "12.3 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.0 s"),
        (3.14, "3.1 s"),
        (9.97, "10 s"),
        (59.7, "1 min"),
        (252, "4 min 12 s"),
        (240, "4 min"),
        (3599.6, "1 h"),
        (3720, "1 h 2 min"),
        (7180, "2 h"),
        (86399, "1 d"),
        (200_000, "2 d 8 h"),
        (-252, "-4 min 12 s"),
        (math.nan, "-"),
    ],
)
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (102_236_160, "97.5 MiB"),
        (2**20 - 1, "1.0 MiB"),
    ],
)
def test_size(amount: int, shown: str) -> None:
    assert text.size(amount) == shown


def test_table_sends_numbers_to_the_right() -> None:
    rows = [("resnet18", 11_689_512, "1.81G"), ("vgg16", "-", "15.5G")]
    assert text.table(("network", "parameters", "MACs"), rows).splitlines() == [
        "network   parameters   MACs",
        "--------  ----------  -----",
        "resnet18    11689512  1.81G",
        "vgg16              -  15.5G",
    ]


def test_table_with_given_sides_and_without_rows() -> None:
    assert text.table(("a", "bcd"), [(1, 2)], align="<>") == "a  bcd\n-  ---\n1    2"
    assert text.table(("a", "bcd"), []) == "a  bcd\n-  ---"


def test_table_counts_columns_of_a_terminal() -> None:
    wide, plain = text.table(("n", "x"), [("猫", "a"), ("cats", "a")]).splitlines()[2:]
    assert wide == "猫    a"
    assert plain == "cats  a"


def test_table_shows_what_a_terminal_would_obey() -> None:
    shown = text.table(("name",), [("\x1b[2J\nnext\u202eodd\udc80",)])
    assert shown.splitlines()[2] == r"\x1b[2J\nnext\u202eodd\udc80"
    shown.encode()


def test_table_errors_say_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="row 0 of the table has 1 cell, expected 2"):
        text.table(("a", "b"), [("x",)])
    with pytest.raises(UsageError, match="one '<' or '>' for each of 2 columns, received '<'"):
        text.table(("a", "b"), [], align="<")


def test_clean_cuts() -> None:
    assert text.clean("abcdef", 4) == "abc…"
    assert text.clean("abcd", 4) == "abcd"


def test_text_loads_neither_numpy_nor_matplotlib_nor_torch() -> None:
    code = "import sys, convsmith.report.text; print({'numpy', 'matplotlib', 'PIL', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
