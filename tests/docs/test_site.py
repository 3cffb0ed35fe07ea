"""docs/ builds as a site without a warning, and has a page for every verb and every public name."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import convsmith
from convsmith.cli import VERBS

DOCS = Path(__file__).resolve().parents[2] / "docs"
NEEDED = ("sphinx", "myst_parser", "furo")

needs_sphinx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason="needs the extra docs"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, outside of the tree."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "read", DOCS, folder / "html"]
    source = Path(convsmith.__file__).parents[1]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@needs_sphinx
def test_the_site_builds_without_warning(site: Path) -> None:
    assert {p.relative_to(DOCS).with_suffix(".html").as_posix() for p in DOCS.rglob("*.md")} <= {
        p.relative_to(site).as_posix() for p in site.rglob("*.html")
    }


@needs_sphinx
def test_every_verb_has_a_page_with_its_options(site: Path) -> None:
    text = "".join(page.read_text() for page in site.rglob("*.html"))
    for verb in VERBS:
        assert f"usage: convsmith {verb} " in text, f"docs/conf.py: PAGES knows no page of {verb}"
    assert "--optimizer.weight_decay (number from 0; 0.0001)" in text


@needs_sphinx
def test_the_python_calls_are_those_of_the_package(site: Path) -> None:
    names = set(re.findall(r'id="convsmith\.(\w+)"', (site / "api.html").read_text()))
    assert names == set(convsmith.__all__)


def test_the_list_of_verbs_is_whole() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(", (DOCS / "verbs" / "index.md").read_text(), re.MULTILINE)
    assert rows == list(VERBS)
