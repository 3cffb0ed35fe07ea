import shutil
from pathlib import Path

import pytest


@pytest.fixture
def broken(pictures: Path) -> tuple[Path, Path]:
    """The folder of 60 images with one that is cut short, and that image."""
    bad = sorted(pictures.rglob("*.png"))[3]
    bad.write_bytes(bad.read_bytes()[:60])
    return pictures, bad


@pytest.fixture
def own_run(photo_run: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the finished run, to be damaged."""
    return Path(shutil.copytree(photo_run[0], tmp_path / "own_run"))
