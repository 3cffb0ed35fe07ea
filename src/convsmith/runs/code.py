"""The code that the records of a run, or a recipe's file, name: `--trust-code` lets it run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convsmith.base import user_code
from convsmith.base.errors import ConvsmithError
from convsmith.base.files import read_json
from convsmith.runs.directory import is_run

# The key in the record `recipe` of the SHA-256 of the file whose function made the tree.
TREE_FILE = "network_file"


@dataclass(frozen=True)
class Code:
    """A user's function, `file.py:function`, with the SHA-256 of its file: that in a run's record, else that of now."""

    source: str
    fingerprint: str

    @property
    def unchanged(self) -> bool:
        """Whether the file is there with this content, and belongs to no installed package."""
        path, _ = user_code.split_source(self.source) or (Path(), "")
        return path.is_file() and not user_code.is_installed(path) and user_code.fingerprint(path) == self.fingerprint


def named_code(subject: str | Path) -> tuple[Code, ...]:
    """The code that the run directory or the recipe's file at `subject` names; empty for other subjects.

    A run states the SHA-256 of each file; code without one is left out. A recipe states none, so its files get the
    SHA-256 that they have now.
    """
    path = Path(subject)
    try:
        if is_run(path):
            return _of_run(read_json(path / "network.json"), read_json(path / "recipe.json"))
        if path.suffix == ".json" and path.is_file():
            return _of_recipe(read_json(path), path.parent)
    except (ConvsmithError, OSError):
        pass  # the command reads the records itself, and reports the error then
    return ()


def trust(subject: str | Path) -> tuple[Code, ...]:
    """Allow this process to run the unchanged files of `named_code`; gives the code that is allowed."""
    found = tuple(code for code in named_code(subject) if code.unchanged)
    for code in found:
        user_code.give(code.source)
    return found


def _of_run(network: Any, recipe: Any) -> tuple[Code, ...]:
    asked = _field(recipe, "recipe")
    stated = [
        (_field(network, "source"), _field(network, "fingerprint")),
        (_field(asked, "network"), _field(recipe, TREE_FILE)),
        (_field(_field(recipe, "task"), "source"), _field(_field(recipe, "task"), "fingerprint")),
    ]
    return _codes(stated)


def _of_recipe(recipe: Any, folder: Path) -> tuple[Code, ...]:
    found: list[tuple[Any, Any]] = []
    for name in ("network", "task"):
        own = user_code.split_source(text) if isinstance(text := _field(recipe, name), str) else None
        # A path in a recipe's file is relative to the file; if it is not there, to the working folder.
        path = own and next((p for p in (folder / own[0], own[0]) if p.is_file()), None)
        if own and path:
            found.append((f"{path}:{own[1]}", user_code.fingerprint(path)))
    return _codes(found)


def _codes(stated: list[tuple[Any, Any]]) -> tuple[Code, ...]:
    found = (
        Code(s, f)
        for s, f in stated
        if isinstance(s, str) and user_code.split_source(s) and user_code.is_fingerprint(f)
    )
    return tuple(dict.fromkeys(found))


def _field(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, dict) else None
