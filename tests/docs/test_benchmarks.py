"""The benchmarks are scripts that no test runs; what they import of the package must still be there."""

import importlib
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = sorted(file.stem for file in FOLDER.glob("*.py"))


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their folder first on the path, and none of their short names left behind for other tests."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = dict(sys.modules)
    yield
    for name in MODULES:
        if name not in before:
            sys.modules.pop(name, None)


@pytest.mark.usefixtures("importable")
def test_every_benchmark_finds_what_it_imports() -> None:
    for name in MODULES:
        module = importlib.import_module(name)
        assert Path(module.__file__).parent == FOLDER
        assert module.__doc__


@pytest.mark.usefixtures("importable")
def test_the_page_of_faults_shows_the_newest_rows(tmp_path: Path) -> None:
    faults = importlib.import_module("faults")
    rows = [json.loads(line) for line in (FOLDER / "results/faults.jsonl").read_text().splitlines()]
    assert {row["gate"] for row in rows} == set(faults.GATES)
    before = (FOLDER.parent / "docs/reliability.md").read_text()
    page = tmp_path / "page.md"
    page.write_text(before)
    faults.write_page(page, rows)
    assert page.read_text() == before
