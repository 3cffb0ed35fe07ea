"""Every verb that writes, where it cannot: one line that names the file, and nothing is left half-written."""

import builtins
import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from convsmith.cli import main
from convsmith.data.sources.download import DOWNLOADS

TINY = 600  # bytes of the largest file on a "full disk"

# What is written, and the verb that writes it into {place}.
WRITES = {
    "onnx": ["export", "{run}", "--to", "onnx", "--out", "{place}/m.onnx"],
    "bundle": ["export", "{run}", "--to", "bundle", "--out", "{place}/m.safetensors"],
    "torchvision": ["export", "{named}", "--to", "torchvision", "--out", "{place}/m.pth"],
    "timm": ["export", "{named}", "--to", "timm", "--out", "{place}/m.safetensors"],
    "tree": ["show", "resnet18", "--tree", "{place}/tree.json"],
    "bars of layers": ["show", "resnet18", "--plot", "{place}/a.svg"],
    "diagram": ["show", "resnet18", "--draw", "{place}/a.svg"],
    "stages": ["show", "resnet18", "--svg", "{place}/a.svg"],
    "bars": ["compare", "resnet18", "vgg16", "--bars", "{place}/a.svg"],
    "bubbles": ["compare", "resnet18", "vgg16", "--bubbles", "{place}/a.svg"],
    "winners": ["compare", "--winners", "{place}/a.svg"],
    "courses": ["compare", "{run}", "{named}", "--plot", "{place}/a.svg"],
    "reliability": ["eval", "{run}", "--plot", "{place}/a.svg"],
    "figure": ["reproduce", "kernel-gallery", "--plot", "{place}/a.svg"],
    "train": ["train", "digits", "--quick", "--out", "{place}/run"],
    "repeat": ["train", "digits", "--quick", "--repeat", "2", "--out", "{place}/runs"],
    "kfold": ["train", "digits", "--quick", "--kfold", "2", "--out", "{place}/runs"],
    "finetune": ["finetune", "{run}", "--data", "{folder}", "--quick", "--mode", "probe", "--out", "{place}/run"],
    "measurement": ["reproduce", "initialization", "--quick", "--out", "{place}/found"],
}


@pytest.fixture(scope="module")
def names(photo_run, tmp_path_factory) -> dict[str, str]:
    """A run of a user's own tree, and one of a network that torchvision has."""
    run, folder = photo_run
    named = tmp_path_factory.mktemp("named") / "run"
    words = ["train", "mobilenet_v2", "--data", str(folder), "--size", "32", "--quick", "--quiet", "--json"]
    assert main([*words, "--out", str(named)]) == 0
    return {"run": str(run), "named": str(named), "folder": str(folder)}


def no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file lies where the folder should be."""
    place.write_text("a file")
    return place


def no_device(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder is not a folder of a disk at all."""
    return Path("/dev/null/nothing")


def read_only(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system refuses what a disk that is only read refuses; also where root asks."""
    place.mkdir(exist_ok=True)
    real_open, calls = (
        builtins.open,
        {name: getattr(os, name) for name in ("open", "mkdir", "unlink", "replace", "rename")},
    )

    def refuse(path: object) -> None:
        if isinstance(path, str | os.PathLike) and Path(path).is_relative_to(place):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def opened(path, mode="r", *rest, **more):
        if set(mode) & set("wax+"):
            refuse(path)
        return real_open(path, mode, *rest, **more)

    def call(name: str) -> Callable:
        def guarded(path, *rest, **more):
            if name != "open" or (rest and rest[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                refuse(path)
            return calls[name](path, *rest, **more)

        return guarded

    monkeypatch.setattr(builtins, "open", opened)
    for name in calls:
        monkeypatch.setattr(os, name, call(name))
    return place


def full(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No file may have more than a few bytes."""
    place.mkdir()
    return place


@contextmanager
def tiny_files(wanted: bool) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if wanted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (TINY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("trouble", [no_folder, no_device, read_only, full])
@pytest.mark.parametrize("what", WRITES)
def test_what_cannot_be_written_is_said(what, trouble, names, here, monkeypatch, capsys):
    place = trouble(here / "place", monkeypatch)
    words = [word.format(**names, place=place) for word in WRITES[what]]
    with tiny_files(trouble is full):
        code = main(words)
    monkeypatch.undo()
    err = capsys.readouterr().err
    last = err.strip().splitlines()[-1]
    assert code in (1, 2), err
    assert last.startswith(f"convsmith: {place}"), err
    assert "Traceback" not in err
    left = list((here / "place").rglob("*")) if (here / "place").is_dir() else []
    assert left == [], left


@pytest.mark.parametrize("trouble", [no_folder, no_device, read_only])
def test_a_cache_that_cannot_be_written(trouble, here, monkeypatch, capsys):
    place = trouble(here / "place", monkeypatch)
    monkeypatch.setenv("CONVSMITH_CACHE", str(place))
    for name in ("mnist", "cifar10"):
        assert name in DOWNLOADS
        assert main(["train", "--data", name, "--quick", "--out", "run"]) == 1
        err = capsys.readouterr().err
        assert err.startswith(f"convsmith: {place}/data/{name}: could not be written ("), err
    assert (
        main(["train", "resnet18", "--data", "digits", "--size", "32", "--pretrained", "--quick", "--out", "run"]) == 1
    )
    err = capsys.readouterr().err
    assert err.startswith(f"convsmith: {place}/torchvision: could not be written ("), err
    assert main(["train", "digits", "--quick", "--quiet", "--json", "--out", "run"]) == 0  # which needs no download
    assert main(["data", "cache"]) in (0, 1)
    monkeypatch.undo()
    assert "Traceback" not in capsys.readouterr().err


INTO_A_RUN = {
    "export": ["export", "{run}", "--to", "bundle"],
    "calibration": ["eval", "{run}", "--calibrate"],
    "more epochs": ["train", "--resume", "{run}", "--epochs", "9"],
}


@pytest.mark.parametrize("trouble", [read_only, full])
@pytest.mark.parametrize("what", INTO_A_RUN)
def test_a_run_that_cannot_be_written(what, trouble, digit_runs, here, monkeypatch, capsys):
    run = here / "place" / "run"
    shutil.copytree(digit_runs[2], run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    if trouble is read_only:
        read_only(here / "place", monkeypatch)
    with tiny_files(trouble is full):
        code = main([word.format(run=run) for word in INTO_A_RUN[what]])
    monkeypatch.undo()
    err = capsys.readouterr().err
    assert code == 1, err
    assert err.strip().splitlines()[-1].startswith(f"convsmith: {run}"), err
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    own = ("status.json", "lock", "log.txt", "recipe.json", "report.html")
    assert {p: c for p, c in after.items() if p.name not in own} == {
        p: c for p, c in before.items() if p.name not in own
    }
