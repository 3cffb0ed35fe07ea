"""docs/coverage.md is up to date, and every test and command that it names is there and works."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from convsmith.cli import VERBS, main
from convsmith_textbook.lectures.coverage import REMARK, SECTIONS, covered, page
from convsmith_textbook.lectures.entries import ENTRIES
from convsmith_textbook.questions.entries import EXPERIMENTS

ROOT = Path(__file__).parents[2]
ROWS = covered()
# Rows in each section of the lectures' list.
COUNTS = {"1": 63, "2": 53, "3": 17, "4": 11, "5": 17, "6": 14, "7": 8, "8": 15, "9": 19, "10": 8, "11": 42}
SHOWN = sorted({part for row in ROWS for part in row.shown if part != REMARK})
COMMANDS = [part for part in SHOWN if part.startswith("convsmith ")]


def test_the_page_is_up_to_date():
    written = (ROOT / "docs" / "coverage.md").read_text()
    assert written == page(), "write it anew: python -m convsmith_textbook.lectures.coverage docs/coverage.md"


def test_every_row_is_there_once():
    expected = [f"{section}.{n}" for section in SECTIONS for n in range(1, COUNTS[section] + 1)]
    assert [row.row for row in ROWS] == expected
    assert all(row.title for row in ROWS)


def test_every_entry_names_rows_that_exist():
    known = {row.row for row in ROWS}
    for name, entry in ENTRIES.items():
        assert set(entry.rows.split()) <= known, name


@pytest.mark.parametrize("test", [part for part in SHOWN if not part.startswith("convsmith ")])
def test_a_named_test_is_there(test):
    file, _, function = test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[1] != "reproduce"])
def test_a_named_command_works(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    assert words[0] in VERBS
    try:
        status = main(words)
    except SystemExit as left:  # of --help
        status = left.code
    assert status == 0, capsys.readouterr().err


def test_named_entries_are_there():
    assert {c.split()[2] for c in COMMANDS if c.split()[1] == "reproduce"} <= {*ENTRIES, *EXPERIMENTS}


def test_the_changelog_counts_what_there_is():
    """As `convsmith reproduce all` counts."""
    told = re.search(r"`convsmith reproduce`: (\d+) entries with (\d+) figures", (ROOT / "CHANGELOG.md").read_text())
    assert told is not None
    assert (int(told[1]), int(told[2])) == (len(ENTRIES), sum(len(entry.figures) for entry in ENTRIES.values()))


def test_states():
    by_row = {row.row: row for row in ROWS}
    assert by_row["1.3"].state == REMARK
    assert by_row["2.5"].state == "yes"
    assert by_row["6.2"].state == "partly"
    assert by_row["8.12"].state == "not yet"
