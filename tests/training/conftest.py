"""Commands in several processes, as torchrun starts them."""

import json
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from convsmith.recipes.recipe import Recipe

# In seconds, for a machine that has much else to do.
LIMIT = 300


@pytest.fixture(scope="session")
def limit() -> int:
    """How many seconds to wait for what must happen."""
    return LIMIT


@pytest.fixture(scope="session")
def common() -> list[str]:
    """Options of a run whose bits must not vary, and that waits long for others."""
    words = ["--precision", "fp32", "--engine.threads", "1", "--device", "cpu", "--quiet", "--json"]
    return [*words, "--engine.timeout", str(LIMIT)]


@pytest.fixture(scope="session")
def lenet(common: list[str]) -> list[str]:
    """A short run with batches that two processes cannot share evenly."""
    return ["train", "lenet5", "--data", "digits", "--batch", "33", "--length", "7steps", "--lr", "0.05", *common]


@pytest.fixture(scope="session")
def stated() -> Callable[..., dict[str, str]]:
    """`stated(rank, size, port)`: what torchrun says to a process."""

    def environment(rank: int, size: int, port: int) -> dict[str, str]:
        numbers = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": port}
        return {**{key: str(value) for key, value in numbers.items()}, "MASTER_ADDR": "127.0.0.1"}

    return environment


@pytest.fixture
def group(forks: Any, stated: Callable[..., dict[str, str]]) -> Callable[..., list[Any]]:
    """`group(*words)` starts the command in two processes; what they say begins an empty `forks.log`.

    The second one gets `more` words and finds `differing` in its environment, both find `alike`.
    """

    def start(
        *words: object, more: Sequence[object] = (), alike: dict[str, str] | None = None,
        differing: dict[str, str] | None = None,
    ) -> list[Any]:  # fmt: skip
        forks.log.write_text("")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        first = forks.start(*words, environment={**stated(0, 2, port), **(alike or {})})
        environment = {**stated(1, 2, port), **(alike or {}), **(differing or {})}
        return [first, forks.start(*words, *more, environment=environment)]

    return start


@pytest.fixture
def said(forks: Any) -> Callable[[], str]:
    """The only message of the command that all processes wrote."""

    def message() -> str:
        found = re.findall(r"^convsmith: (.*)$", forks.log.read_text(), re.MULTILINE)
        assert len(found) == 1, forks.log.read_text()
        return found[0]

    return message


@pytest.fixture
def printed(forks: Any) -> Callable[[], list[Any]]:
    """The JSON that the processes wrote."""
    return lambda: [json.loads(line) for line in forks.log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture(scope="session")
def last_step() -> Callable[[Path], int]:
    """`last_step(run)`: the step of the last checkpoint, 0 before the first."""

    def step(path: Path) -> int:
        try:
            return json.loads((path / "last.json").read_text())["step"]
        except FileNotFoundError:
            return 0

    return step


@pytest.fixture
def recipe(modules, pictures, given):
    """A plain module on 48 images: 6 steps an epoch."""
    return Recipe(network=given(f"{modules}:make")).edit(
        data__source=str(pictures), length="4ep", batch=8, augment="flip", engine__precision="fp32", engine__threads=1
    )
