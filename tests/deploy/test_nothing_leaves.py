"""No verb and no library connects to anything or writes outside the working folder and the one cache."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from convsmith.engines import silent

SOURCE = str(Path(silent.__file__).parents[2])
# Watches what Python code of any library does, and runs the commands that it is given.
WATCHED = """
import json, os, sys, sysconfig
allowed, commands = json.loads(sys.argv[1])
seen = []
CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
CHANGES = ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate", "os.chmod")

def outside(path):
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    path = os.path.realpath(os.fsdecode(path))
    return not any(path == place or path.startswith(place + os.sep) for place in allowed)

def watch(event, arguments):
    if event in CONNECTS and not isinstance(arguments[-1], (str, bytes)):  # a socket of this machine has a path
        seen.append([event, repr(arguments[1:])])
    elif event == "open":
        path, mode, flags = arguments
        if (flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and outside(path):
            seen.append([event, str(path)])
    elif event in CHANGES and outside(arguments[1 if event in ("os.rename", "os.link", "os.symlink") else 0]):
        seen.append([event, repr(arguments)])

sys.addaudithook(watch)
sys.dont_write_bytecode = True
from convsmith.cli import main
codes = [main(words) for words in commands]
print("WATCHED", json.dumps([codes, seen]))
"""


@pytest.fixture
def watched(here: Path, tmp_path: Path):
    """`watched(commands)` runs them in a process with a home of its own: their exit statuses, and what was seen."""
    home, temporary, cache = tmp_path / "home", tmp_path / "temporary", tmp_path / "cache"
    for folder in (home, temporary):
        folder.mkdir()
    drop = ("XDG_", "CI", "GITHUB_", "HF_", "TORCH_HOME", "TORCHINDUCTOR_", "TRITON_", "MPLCONFIGDIR")
    environment = {key: value for key, value in os.environ.items() if not key.startswith((*drop, silent.SWITCH))}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "CONVSMITH_CACHE": str(cache), "PYTHONPATH": SOURCE}

    def run(*commands: list[str]) -> tuple[list[int], list[list[str]]]:
        allowed = [str(here), str(temporary), str(cache), os.devnull]
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, json.dumps([allowed, commands])], env=environment, cwd=here,
            capture_output=True, text=True,
        )  # fmt: skip
        line = next((line for line in done.stdout.splitlines() if line.startswith("WATCHED ")), None)
        assert line is not None, done.stderr
        assert [str(path) for path in home.rglob("*")] == []
        codes, seen = json.loads(line.removeprefix("WATCHED "))
        return codes, [event for event in seen if event[1] not in ("/dev/tty", "/dev/shm")]

    return run


def test_every_verb_keeps_to_the_working_folder_and_the_cache(watched, many, pictures: Path) -> None:
    # What compiles takes most of the time: the whole of it with --all.
    compiling = [
        ["train", "digits", "--quick", "--out", "digits", "--quiet"],
        ["train", "lenet5", "--data", str(pictures), "--dry-run"],
        ["finetune", "run", "--data", str(pictures), "--quick", "--out", "tuned2", "--quiet"],
        ["bench", "run", "--rounds", "1"],
    ]
    words = ["--device", "cpu", "--quiet"]
    commands = [
        ["train", "lenet5", "--data", str(pictures), "--quick", "--out", "run", "--track", "tensorboard", "--quiet"],
        ["train", "--resume", "run", "--quiet"],
        ["finetune", "run", "--mode", "partial", "--data", str(pictures), "--quick", "--out", "tuned", "--quiet"],
        ["eval", "run"],
        ["runs", "."],
        ["show", "run"],
        ["compare", "run", "tuned"],
        ["export", "run", "--to", "onnx", "--out", "run.onnx"],
        ["export", "run", "--to", "bundle", "--out", "run.safetensors"],
        *(["predict", "run", str(pictures), "--engine", e, *words] for e in ("eager", "onnxruntime", "openvino")),
        ["data", "check", str(pictures)],
        ["data", "stats", str(pictures)],
        ["nets"],
        ["recipes"],
        ["review", "resnet18"],
        ["doctor"],
        ["bench", "run", "--rounds", "1", "--engines", "eager"],
        *many([], compiling),
    ]
    codes, seen = watched(*commands)
    assert seen == []
    assert [words for words, code in zip(commands, codes, strict=True) if code != 0] == []


@pytest.mark.parametrize("library", ["openvino", "nncf", "onnxruntime"])
def test_a_library_that_reports_home_does_not(library: str, here: Path, tmp_path: Path) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; sent = []\n"
        "sys.addaudithook(lambda event, a: sent.append(event) if event.startswith(('socket.connect', 'socket.getaddr'))"
        " else None)\n"
        "from convsmith.engines.silent import import_silent\n"
        f"found = import_silent({library!r})\n"
        "if found.__name__ == 'onnxruntime': found.get_available_providers()\n"
        "import time; time.sleep(1)\n"
        "print(sent, [n for n in sys.modules if n.startswith('openvino_telemetry.')])"
    )
    # As on a user's machine: in continuous integration it would keep silent by itself.
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("CI", "GITHUB_", silent.SWITCH))
    }
    environment |= {"HOME": str(home), "PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=here)
    assert done.stdout == "[] []\n", done.stderr
    assert list(home.rglob("*")) == []
