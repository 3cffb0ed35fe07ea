"""What a plain run, `--all` and `--all --rest` run: the first and the last together are the second."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


class Item:
    """A test as pytest collects it, with what was marked on it."""

    def __init__(self, nodeid: str, fixtures: tuple[str, ...] = (), **marks: int):
        self.nodeid, self.fixturenames, self.skipped = nodeid, fixtures, False
        self.marks = {name: SimpleNamespace(args=(value,)) for name, value in marks.items()}

    def get_closest_marker(self, name: str) -> Any:
        return self.marks.get(name)

    def add_marker(self, mark: Any) -> None:
        self.skipped = mark.name == "skip"


@pytest.fixture
def chosen(pytestconfig: pytest.Config):
    """`chosen(items, options)`: the names of the items that run."""
    ours = str(Path(__file__).with_name("conftest.py"))
    plugins = pytestconfig.pluginmanager.get_plugins()
    (hooks,) = [plugin for plugin in plugins if getattr(plugin, "__file__", None) == ours]

    def run(items: list[Item], *options: str) -> list[str]:
        hook = SimpleNamespace(pytest_deselected=lambda items: None)
        config = SimpleNamespace(getoption=lambda name: name in options, hook=hook)
        hooks.pytest_collection_modifyitems(config, items)
        return [item.nodeid for item in items if not item.skipped]

    return run


def test_a_spread_and_the_rest_are_all(chosen) -> None:
    def made() -> list[Item]:
        spread = [Item(f"a.py::every[{number}]", spread=3) for number in range(7)]
        return [*spread, Item("a.py::plain"), Item("a.py::long", all=0), Item("a.py::tried", ("many",))]

    usual = [f"a.py::every[{number}]" for number in (0, 3, 6)] + ["a.py::plain", "a.py::tried"]
    assert chosen(made()) == usual
    assert chosen(made(), "--all") == [item.nodeid for item in made()]
    rest = [f"a.py::every[{number}]" for number in (1, 2, 4, 5)] + ["a.py::long", "a.py::tried"]
    assert chosen(made(), "--all", "--rest") == rest


def test_a_case_that_is_asked_for_alone_runs(chosen) -> None:
    assert chosen([Item("a.py::every[5]", spread=3)]) == ["a.py::every[5]"]
