"""Every command and block of Python in the README and in docs/ is executed, in a folder that has what they name."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convsmith as cs
from convsmith.cli import main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The names of runs, as the pages print them; one quick run stands for all.
RUN = re.compile(r"runs/\d{4}-\d\d-\d\d-digits-[0-9a-f]{6}|\bRUN\b")
# Data that a test cannot have, with what stands in for it.
STAND_INS = {"resnet20-cifar10-fast": ["--data", "photos/", "--size", "32"], "lenet5-mnist": ["--data", "digits"]}


def commands(page: Path) -> list[str]:
    """The lines of a page that begin with the command, in blocks of code and in tables."""
    text = page.read_text()
    blocks = re.findall(r"^    (convsmith .*)$", text, re.MULTILINE)
    table = re.findall(r"^\| `(convsmith [^`]*)` \|", text, re.MULTILINE)
    return [c for c in blocks + table if "..." not in c]


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
    (folder / "my_net.py").write_text(
        "from torch import nn\n\n\ndef make(classes=10, channels=3):\n"
        "    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)\n"
        "    return nn.Sequential(nn.Conv2d(channels, 8, 3), *pooled)\n"
    )
    cs.train("digits", quick=True, quiet=True, out=folder / "run")
    recipe = cs.Recipe().edit(data__size=32).to_json()
    (folder / "recipe.json").write_text(json.dumps(recipe))
    # Written by one command of a page and read by the next, which another process may run.
    (folder / "my_tree.json").write_text(json.dumps(cs.network("resnet20_cifar").to_json()))
    return folder


@pytest.mark.parametrize(
    ("page", "command"), [pytest.param(p, c, id=f"{p.stem}: {c}") for p in PAGES for c in commands(p)]
)
def test_command_of_the_documents(
    page: Path, command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    words = shlex.split(RUN.sub("run", command), comments=True)[1:]
    if words[0] == "train" and "--resume" not in words:
        words += ["--quick", "--quiet"]
        words += STAND_INS.get(words[1], [])
        if "photos/" in words:
            words += ["--batch", "8"]
    status = main(words)
    assert status == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "code", [pytest.param(c, id=f"{p.stem} {i}") for p in PAGES for i, c in enumerate(python_blocks(p))]
)
def test_python_of_the_documents(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    exec(compile(code, "document", "exec"), {"__name__": "document"})


def test_pages_have_commands() -> None:
    assert sum(len(commands(p)) for p in PAGES) >= 25


def test_links_of_the_documents_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
