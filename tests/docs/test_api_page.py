"""docs/api.md names what packages beside the library may stand on, and the textbook stands on nothing else."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(convsmith\.[\w.]+)` \| (.+) \|$", re.M)


def stated() -> dict[str, set[str]]:
    """The names of the table by module."""
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    return {module: set(re.findall(r"`(\w+)`", names)) for module, names in ROW.findall(page)}


def used() -> dict[str, set[str]]:
    """The names that the textbook imports from the library, by module."""
    names: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "src" / "convsmith_textbook").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("convsmith."):
                names[node.module or ""] |= {alias.name for alias in node.names}
            if isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.startswith("convsmith.")], path
    return dict(names)


def test_the_textbook_stands_on_what_the_page_names():
    assert used() == stated()
