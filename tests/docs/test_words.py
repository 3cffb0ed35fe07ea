"""Words and turns that are not to come back, in sources and pages, each with the reason."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A regular expression, and why: what to write in its place.
TURNS: dict[str, str] = {
    r"\b(optimis(?!t|m)|normalis|initialis|regularis|summaris|recognis|factoris|binaris|quantis)\w*": "-ize, as torch",
    r"\b(colour|centre|centred|grey|neighbour|behaviour|licence)\w*": "color, center, gray, neighbor, as torch",
    r"(?<![Tt]here )\bis no (run|network|file|tree|regular|picture|table|mask|class|member|operator)\b": "is not a",
    r"\bmore than nothing\b": "write: positive",
    r"\bis no tree\b": "write: is not a network of convsmith",
    r"\b(for|waits for) nobody\b": "name who: no `use` reads it",
    r"\b(cannot|can) be had\b|\bnot to be had\b": "write: is missing, is not installed, cannot be read",
    r"\b(is|are) told\b": "a value is passed, printed or exchanged; no one tells it",
    r"\bcomes? into sight\b": "write: what enters",
    r"\bin (its|their) turn\b": "say when",
    r"\bhas no use for\b": "write: does not support",
    r"\b[Nn]o torch here\b": "tests/test_torch_wall.py holds it",
    r"\bNone where\b": "write: None if",
    r"\b(allow[-_]drift|drifted)\b": "drift is of data; a machine changes",
}
# Where the words of others, or of older versions, have to stand.
QUOTED = {
    "src/convsmith/recipes/words.py": "the peers' options",
    "src/convsmith/recipes/recipe.py": "the keys of schema 1",
    "src/convsmith/data/card.py": "a key of older cards",
}


def files() -> list[Path]:
    """Sources and pages."""
    names = [
        *ROOT.glob("src/**/*.py"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("docs/*.py"),
        *ROOT.glob("docs/**/*.svg"),
    ]
    names.append(ROOT / "README.md")
    return [file for file in names if not any(file.relative_to(ROOT).as_posix().startswith(word) for word in QUOTED)]


@pytest.mark.parametrize("turn", TURNS)
def test_what_is_not_to_come_back(turn: str):
    pattern = re.compile(turn)
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{TURNS[turn]}\n" + "\n".join(found[:20])


@pytest.mark.parametrize("turn", TURNS)
def test_a_turn_is_a_pattern_that_finds_something(turn: str):
    """A pattern that matches nothing at all would pass for ever."""
    examples = (
        "optimiser colour is no run, is no tree, more than nothing for nobody cannot be had is told comes into sight "
        "in its turn has no use for No torch here None where allow_drift"
    )
    assert re.search(turn, examples)
