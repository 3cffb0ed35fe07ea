"""The wall: what lists, prices, draws, asks and prints is imported without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import convsmith

ROOT = Path(convsmith.__file__).parents[1]
TREES = ["nets", "nets/ops", "nets/families", "nets/edits", "nets/views"]
# Folders whose every module is imported without these libraries, with all that it imports. A module of another folder
# that one of these imports at its top (`data.options`, `runs.directory`) is held to the same.
FREE = {
    "torch": [
        "base",
        "report",
        "nets",
        "nets/ops",
        "nets/families",
        "nets/edits",
        "nets/views",
        "recipes",
        "recipes/builtin",
        "cli",
    ],
    "numpy": ["base", "nets", "nets/ops", "nets/families", "nets/edits", "nets/views"],
}
HEAVY = {"torch": {"torch", "torchvision"}, "numpy": {"torch", "torchvision", "numpy", "PIL", "safetensors", "sklearn"}}
IMPORTS = """
import importlib, json, sys
names, heavy = json.loads(sys.argv[1]), set(json.loads(sys.argv[2]))
for name in names:
    importlib.import_module(name)
    if heavy & sys.modules.keys():
        sys.exit(f"{name} imports {', '.join(sorted(heavy & sys.modules.keys()))}")
"""


def modules(folder: str) -> list[str]:
    """The modules that lie in a folder of the package itself, not in folders inside it."""
    files = sorted((ROOT / "convsmith" / folder).glob("*.py"))
    assert files, folder
    parts = [file.relative_to(ROOT).with_suffix("").parts for file in files]
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


@pytest.mark.parametrize("library", FREE)
def test_folders_are_imported_without(library: str):
    names = [name for folder in FREE[library] for name in modules(folder)]
    if library == "torch":
        names += ["convsmith_textbook.cli.reproduce", "convsmith_textbook.lectures.coverage"]
    words = [sys.executable, "-c", IMPORTS, json.dumps(names), json.dumps(sorted(HEAVY[library]))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_trees_are_made_priced_and_read_without_torch():
    script = """
import sys
from convsmith.nets.cost import cost
from convsmith.nets.network import Network
from convsmith.nets.source import open_network
from convsmith.nets.views.stages import summarize
from convsmith.nets.zoo import edit
tree = edit(open_network("resnet50", classes=10), "drop_path=0.1")
assert Network.from_json(tree.to_json()) == tree
cost(tree), summarize(tree)
print(sorted({"torch", "torchvision", "numpy", "PIL", "safetensors", "sklearn"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_library_knows_no_module_of_the_textbook():
    """`reproduce` is found by its entry point alone."""
    for path in (ROOT / "convsmith").rglob("*.py"):
        lines = [line for line in path.read_text("utf-8").splitlines() if "convsmith_textbook" in line]
        assert lines == (
            ['BROUGHT = {"reproduce": "convsmith_textbook"}'] if path.parts[-2:] == ("cli", "__init__.py") else []
        ), path
