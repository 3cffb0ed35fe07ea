"""The page of all recipes is what its script writes."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("recipe_pages", DOCS / "recipe_pages.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (DOCS / "recipes.md").read_text() == script.page(), "run: python docs/recipe_pages.py"
