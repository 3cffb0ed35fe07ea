"""Small data sets and networks that a test makes, the command in this process, and the command in one to be killed."""

import atexit
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convsmith.base import user_code
from convsmith.cli import main

# As the command sets it for itself: two test processes on two cores would else starve each other.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# What commands keep for later must not come from, or lie with, what the user of this machine has.
_CACHE = tempfile.mkdtemp(prefix="convsmith-tests-")
_OWNER = os.getpid()  # a forked process ends before this one, which still needs the folder
atexit.register(lambda: os.getpid() == _OWNER and shutil.rmtree(_CACHE, ignore_errors=True))
os.environ["CONVSMITH_CACHE"] = _CACHE

# Tests that import ONNX Runtime themselves must not have it report home either.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# What this process ignores, its children would ignore too: SIGHUP under nohup, SIGINT in the background of a script. A
# handler is not handed down, so the children have the default action, and this process goes on ignoring the signals.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, lambda number, frame: None)

SOURCE = Path(__file__).resolve().parents[1] / "src"
LABELS = ("bent", "flat", "round")
LIMIT = 600  # seconds to wait for what must happen, on a machine that has much else to do

# A tree of a user's own, with everything that is random in training: dropout here, drop_path by an edit.
TREES = """
from convsmith.nets.network import Network
from convsmith.nets.ops import Dropout
from convsmith.nets.parts import RELU, conv_norm, padded_conv, pooled_head
from convsmith.nets.families.resnet import resnet_cifar
from convsmith.nets.shape import Shape
from convsmith.nets.tree import IDENTITY, add, seq


def resnet8(classes, channels):
    return resnet_cifar(depth=8, classes=classes, channels=channels)


def dropping(classes, channels, size=12):
    unit = add(branch=seq(conv=padded_conv(8, 3), act=RELU), shortcut=IDENTITY)
    body = seq(conv=padded_conv(8, 3, 2), act=RELU, unit1=unit, unit2=unit, dropout=Dropout(0.3))
    shape = Shape(channels, (size, size))
    return Network(
        name="dropping", family="own", input=shape, stages=(("body", body),), heads=(("head", pooled_head(classes)),)
    )
"""
# A module of a user's own.
MODULES = """
import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(channels, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2))
        self.out = nn.Linear(6, classes)

    def forward(self, images):
        return self.out(self.features(images).mean((2, 3)))


def make(classes, channels):
    return Plain(classes, channels)
"""


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON on its standard output."""
        return json.loads(self.out)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all`: also the tests marked `all`, every case of those marked `spread`, and others at their full numbers."""
    parser.addoption("--all", action="store_true", help="every test, case and trial")
    parser.addoption("--rest", action="store_true", help="with --all: only what it adds to a run without it")


@pytest.hookimpl(trylast=True)  # after -k has chosen: the first of what it leaves always runs
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--all` skip what is marked `all`, and all but each n-th case of what is marked `spread(n)`."""
    cases: Counter[str] = Counter()
    added, usual = [], []
    for item in items:
        test = item.nodeid.partition("[")[0]
        spread = item.get_closest_marker("spread")
        left = item.get_closest_marker("all") or (spread and cases[test] % spread.args[0])
        cases[test] += 1
        (added if left else usual).append(item)
    if not config.getoption("--all"):
        for item in added:
            item.add_marker(pytest.mark.skip(reason="run with --all"))
    elif config.getoption("--rest"):
        once = [item for item in usual if "many" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=once)
        items[:] = [item for item in items if item not in set(once)]


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Give the memory of large networks back: glibc keeps gigabytes, whose map every fork of a later test copies."""
    if (nextitem is None or nextitem.path != item.path) and sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)(0)


@pytest.fixture(scope="session")
def many(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """`many(few, all)`: how often to try something, few times unless --all is given."""
    return lambda few, all: all if pytestconfig.getoption("--all") else few


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`command("train", "digits")` runs it in this process."""

    def run(*words: object) -> Answer:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def refused(command: Callable[..., Answer], here: Path) -> Callable[..., str]:
    """A command that must fail: its single line on stderr. What lies in `watched` must be the same afterwards.

    It runs in an empty folder: in the checkout others may write while it runs.
    """

    def run(*words: object, code: int = 2, watched: Path | None = None) -> str:
        watched = here if watched is None else watched
        before = listing(watched)
        answer = command(*words)
        assert (answer.code, answer.out) == (code, ""), answer
        assert answer.err.startswith("convsmith: "), answer.err
        assert answer.err.count("\n") == 1, answer.err
        assert listing(watched) == before
        return answer.err.removeprefix("convsmith: ").rstrip("\n")

    return run


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its content."""
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*") if "__pycache__" not in p.parts}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def picture(label: int, number: int, size: int = 12) -> np.ndarray:
    """A noisy color image whose class shows in where it is bright."""
    random = np.random.default_rng(1000 * label + number)
    image = random.integers(0, 120, (size, size, 3))
    image[(label * size // 3) : (label * size // 3 + size // 3), :, label % 3] += 130
    return image.astype(np.uint8)


def _write_pictures(root: Path, count: int = 20, size: int = 12, labels: tuple[str, ...] = LABELS) -> Path:
    """Class folders of `count` PNG images each."""
    for label, name in enumerate(labels):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture(label, number, size)).save(root / name / f"{number:03}.png")
    return root


@pytest.fixture
def write_pictures() -> Callable[..., Path]:
    """`write_pictures(folder, count, size, labels)` writes class folders of PNG images."""
    return _write_pictures


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three class folders with 20 color images of 12x12 each, 60 in all: 48 train, 6 validate, 6 test."""
    return _write_pictures(tmp_path / "pictures")


@pytest.fixture(scope="session")
def shared_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for tests that only read them."""
    return _write_pictures(tmp_path_factory.mktemp("shared") / "pictures")


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    """A file whose functions `resnet8` and `dropping` give trees."""
    path = tmp_path / "trees.py"
    path.write_text(TREES)
    return path


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A file whose function `make` gives a plain module."""
    path = tmp_path / "modules.py"
    path.write_text(MODULES)
    return path


@pytest.fixture(autouse=True)
def _consent_ends() -> Iterator[None]:
    """The files that a test gives to run are not given in the next test, whose files may have the same content."""
    before = dict(user_code._given.files)
    yield
    user_code._given.files.clear()
    user_code._given.files.update(before)


@pytest.fixture
def given() -> Callable[[str], str]:
    """`given("file.py:function")`: the same text; until the test ends its file counts as named by the user."""

    def give(text: str) -> str:
        user_code.give(text)
        return text

    return give


@pytest.fixture(scope="session")
def photo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run of an own tree with its folder of 60 images, for tests that only read them: (run, folder)."""
    root = tmp_path_factory.mktemp("photo_run")
    (root / "trees.py").write_text(TREES)
    folder, run = _write_pictures(root / "pictures"), root / "run"
    words = ["train", f"{root / 'trees.py'}:resnet8", "--data", folder, "--epochs", "3", "--batch", "8", "--lr", "0.05"]
    words += ["--precision", "fp32", "--engine.threads", "1"]
    assert main([*map(str, words), "--quiet", "--json", "--out", str(run)]) == 0
    return run, folder


@pytest.fixture(scope="session")
def digit_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Three finished runs on the digits, for tests that only read them: two of one recipe, and one that learned less.

    Their test split has 179 images, a prime number.
    """
    root = tmp_path_factory.mktemp("digit_runs")
    words = ["train", "digits", "--epochs", "2", "--precision", "fp32", "--engine.threads", "1", "--quiet", "--json"]
    for name, more in (("one", ["--seed", "0"]), ("two", ["--seed", "1"]), ("slow", ["--lr", "0.004"])):
        assert main([*words, *more, "--out", str(root / name)]) == 0
    return root / "one", root / "two", root / "slow"


class Forks:
    """Commands in processes of their own, forked from one that has loaded torch, so that each starts at once."""

    def __init__(self, log: Path):
        self.log = log
        environment = os.environ | {"PYTHONPATH": str(SOURCE)}
        script = str(Path(__file__).with_name("fork_server.py"))
        self.server = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, *words: object, environment: dict[str, str] | None = None) -> "Fork":
        """Start a command in a process group of its own."""
        pid = self.ask("start", [str(word) for word in words], str(self.log), environment or {})
        return Fork(self, pid)

    def ask(self, *question: object) -> Any:
        """One question to the server and its answer."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps(question), file=self.server.stdin, flush=True)
        return json.loads(self.server.stdout.readline())

    def close(self) -> None:
        """End the server."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait(LIMIT)
        self.server.stdout.close()


@dataclass
class Fork:
    """A process that runs a command. Until it is waited for, its number stays its own."""

    forks: Forks
    pid: int
    ended: int | None = None

    def poll(self) -> int | None:
        """The exit status (negative: a signal's number), None while it runs."""
        if self.ended is None:
            self.ended = self.forks.ask("poll", self.pid)
        return self.ended

    def send(self, number: signal.Signals, group: bool = False) -> None:
        """A signal to the process, or to it and its loader processes, as a terminal sends it."""
        if self.poll() is None:
            (os.killpg if group else os.kill)(self.pid, number)

    def kill(self) -> int:
        """SIGKILL, unless it has ended already."""
        self.send(signal.SIGKILL)
        return self.wait()

    def wait(self, limit: float = LIMIT) -> int:
        """The exit status, once it has ended."""
        self.until(lambda: False, limit)
        assert self.ended is not None
        return self.ended

    def until(self, condition: Callable[[], bool], limit: float = LIMIT, pause: float = 0.002) -> bool:
        """Wait until the condition holds (true) or the process has ended (false)."""
        deadline = time.monotonic() + limit
        while not condition():
            if self.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"nothing happened in {limit} s: {self.forks.log.read_text()}"
            time.sleep(pause)
        return True


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """`forks.start("train", ...)` runs a command in a process that a test may kill."""
    server = Forks(tmp_path_factory.mktemp("forks") / "output.txt")
    yield server
    server.close()


@pytest.fixture(scope="session")
def cifar_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the binary files of CIFAR-10, 20 records in each."""
    folder = tmp_path_factory.mktemp("cifar") / "cifar"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]:
        labels = (np.arange(20) % 10).astype(np.uint8)[:, None]
        pixels = random.integers(0, 256, (20, 3072), np.uint8)
        (folder / name).write_bytes(np.concatenate([labels, pixels], axis=1).tobytes())
    return folder


@pytest.fixture
def write_tree(tmp_path: Path) -> Callable[[str], Path]:
    """The tree of a network of the zoo as a JSON file."""

    def write(name: str) -> Path:
        from convsmith.base.files import write_json
        from convsmith.nets.zoo import network

        path = tmp_path / "tree.json"
        write_json(path, network(name).to_json())
        return path

    return write
