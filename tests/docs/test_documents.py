"""Commands in indented blocks and in cells of tables, and blocks of Python, are executed where there is what they name.

Not those with dots in place of something, and not Python that needs a connection (```python no-test). The commands of
docs/coverage.md have a test of their own.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convsmith as cs
from convsmith.cli import main
from convsmith.cli.arguments import Parser, add_short
from convsmith.cli.fields import edited, recipe_words
from convsmith.recipes.recipe import recipe_from_json
from convsmith.recipes.shorthand import SHORTHAND
from convsmith_textbook.questions.entries import EXPERIMENTS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COVERAGE = ROOT / "docs" / "coverage.md"
# What other libraries call it, in the first column, and we, in the second.
COMING_FROM = sorted((ROOT / "docs" / "coming_from").glob("*.md"))
# The names of runs, as the pages print them; one quick run stands for all.
RUN = re.compile(r"runs/\d{4}-\d\d-\d\d-digits-[0-9a-f]{6}|\bRUN\b")
# Data that a test cannot have, with what stands in for it.
STAND_INS = {
    "cifar10-speed-small": ["--data", "photos/", "--size", "32"],
    "resnet20-cifar10-fast": ["--data", "photos/", "--size", "32"],
    "lenet5-mnist": ["--data", "digits"],
    "vae-mnist": ["--data", "digits", "--data.split", "96/2/2"],  # each image is drawn many times to be evaluated
    "autoencoder-mnist": ["--data", "digits"],
}


def commands(page: Path) -> list[str]:
    """The lines of a page's indented blocks and the cells of its tables that begin with the command."""
    text = page.read_text().replace("RUN RUN ...", "RUN RUN")
    blocks = re.findall(r"^    (convsmith .*)$", text, re.MULTILINE)
    cells = [] if page == COVERAGE else re.findall(r"\| `(convsmith [^`]*)`", text)
    return [c for c in blocks + cells if "..." not in c]


def every_command() -> dict[str, Path]:
    """What is to be run, with the first page that has it; another run of the same kind is the same command."""
    found: dict[str, Path] = {}
    for page in PAGES:
        for command in commands(page):
            found.setdefault(RUN.sub("RUN", command), page)
    return found


def option_cells(page: Path) -> list[str]:
    """The options for `train` in a page's tables, where a bar is written with a backslash."""
    return [cell.replace("\\|", "|") for cell in re.findall(r"^\|.*\| `(--[^`]*)` \|", page.read_text(), re.MULTILINE)]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    random = np.random.default_rng(0)
    for label in ("cat", "dog", "owl"):
        (folder / "photos" / label).mkdir(parents=True)
        for i in range(20):
            height, width = random.integers(70, 90, 2)
            image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
            image.save(folder / "photos" / label / f"patient{i}.jpg")
    for name in ("photo.png", "photo.jpg"):
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / name)
    for code in python_blocks(ROOT / "docs" / "own.md"):
        name = re.match(r"# (\w+\.py)\n", code)
        assert name is not None
        (folder / name[1]).write_text(code)
    files = [f"photos/{label}/patient{i}.jpg" for i in range(20) for label in ("cat", "dog", "owl")]
    labels = [f"{file},{file.split('/')[1]}" for file in files]
    (folder / "labels.csv").write_text("\n".join(["image,label", *labels]))
    tags = [f"{file},{i % 2},{int(i % 3 == 0)},{int(i % 5 > 0)}" for i, file in enumerate(files)]
    (folder / "tags.csv").write_text("\n".join(["image,indoors,dark,close", *tags]))
    (folder / "weights.json").write_text('{"cat": 1, "dog": 1, "owl": 4}')
    cs.train("digits", quick=True, quiet=True, out=folder / "run")
    shutil.copytree(folder / "run", folder / "other")
    recipe = cs.Recipe().edit(data__size=32).to_json()
    (folder / "recipe.json").write_text(json.dumps(recipe))
    # Written by one command of a page and read by the next, which another process may run.
    (folder / "my_tree.json").write_text(json.dumps(cs.network("resnet20_cifar").to_json()))
    return folder


@pytest.mark.parametrize("command", [pytest.param(c, id=f"{p.stem}: {c}") for c, p in every_command().items()])
def test_command_of_the_documents(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    words = shlex.split(RUN.sub("run", command.replace("RUN RUN", "RUN other")), comments=True)[1:]
    if words[0] in ("train", "finetune") and "--resume" not in words:
        words += ["--quick", "--quiet"]
        words += STAND_INS.get(words[1], [])
        if "photos/" in words:
            words += ["--batch", "8"]
            words += [] if "--size" in words or words[0] == "finetune" else ["--size", "32"]
    if words[0] == "reproduce" and words[1:2] and words[1] in EXPERIMENTS:
        words += ["--quick", "--quiet", "--data", "digits", "--size", "8"]
    try:
        status = main(words)
    except SystemExit as left:  # of --help
        status = left.code
    assert status == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "code", [pytest.param(c, id=f"{p.stem} {i}") for p in PAGES for i, c in enumerate(python_blocks(p))]
)
def test_python_of_the_documents(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, "document", "exec"), {"__name__": "document"})


@pytest.mark.parametrize(
    "options", [pytest.param(cell, id=f"{p.stem}: {cell}") for p in COMING_FROM for cell in option_cells(p)]
)
def test_options_for_those_who_come_from_elsewhere_are_ours(options: str) -> None:
    rest, fields = recipe_words(shlex.split(options))
    parser = Parser("train", "")
    add_short(parser, *SHORTHAND)
    recipe = edited(cs.Recipe(), parser.read(rest), fields)
    assert recipe_from_json(recipe.to_json()) == recipe
    for edit in recipe.edits:
        assert cs.edit(cs.network("resnet18"), edit) != cs.network("resnet18")


def test_commands_are_found_in_blocks_and_in_any_column(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Say `convsmith show a`:\n\n    convsmith show b\n    convsmith eval RUN RUN ... --ensemble\n\n"
        "| `convsmith show c` | to `convsmith show d` | `convsmith show e`, or so |\n"
        "| f | `convsmith train ... --lr 1` |\n"
    )
    assert commands(page) == ["convsmith show b", "convsmith eval RUN RUN --ensemble", "convsmith show c",
                              "convsmith show e"]  # fmt: skip
    assert sum(len(commands(p)) for p in PAGES) >= 150


def test_links_of_the_documents_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
