"""The page of all networks is what its script writes."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("zoo_table", DOCS / "zoo_table.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (DOCS / "zoo.md").read_text() == script.page(), "run: python docs/zoo_table.py"
