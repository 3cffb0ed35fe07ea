"""`convsmith recipes [show] [NAME]`."""

import inspect
from collections.abc import Sequence

from convsmith.base.config import options, plain
from convsmith.cli.arguments import Parser, add_output, print_json
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.recipe import Recipe
from convsmith.report.text import table


def run(words: Sequence[str]) -> int:
    """List the recipes, or explain one."""
    parser = Parser("recipes", "List the recipes, or explain one field by field.")
    parser.add_argument("name", nargs="?", help="the recipe to explain")
    add_output(parser)
    values = parser.read([w for i, w in enumerate(words) if not (i == 0 and w == "show")])
    if values.name:
        return _explain(values.name, values.json)
    rows = [
        (name, make().network, make().data.source, str(make().length), _first_line(name))
        for name, make in RECIPES.items()
    ]
    if values.json:
        print_json(
            [{"name": name, "recipe": make().to_json(), "about": _about(name)} for name, make in RECIPES.items()]
        )
        return 0
    print(table(("recipe", "network", "data", "length", "what it is"), rows, align="<<<><"))
    return 0


def _explain(name: str, as_json: bool) -> int:
    recipe = RECIPES[name]()
    if as_json:
        print_json(recipe.to_json())
        return 0
    print(f"{name}\n\n{_about(name)}\n")
    usual = {path: value for path, _, value, _ in options(Recipe())}
    rows = []
    for path, _, value, help in options(recipe):
        mark = "*" if value != usual[path] else ""
        rows.append((path, _text(value), mark, help))
    print(table(("field", "value", "", "what it is"), rows, align="<<<<"))
    print("\n* differs from the default of a recipe. Each field is an option: --field VALUE")
    return 0


def _text(value: object) -> str:
    data = plain(value)
    if isinstance(data, list):
        return ",".join(_text(item) for item in data) or "none"
    if isinstance(data, dict):
        rest = ", ".join(f"{k}={v}" for k, v in data.items() if k != "kind")
        return f"{data.get('kind', '')}({rest})"
    return "none" if data is None else str(data)


def _about(name: str) -> str:
    return inspect.getdoc(RECIPES[name]) or ""


def _first_line(name: str) -> str:
    return _about(name).split("\n")[0]
