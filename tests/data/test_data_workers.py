"""Worker processes of the streaming loader that die, hang or cannot be started."""

import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from convsmith.data import workers
from convsmith.data.dataset import Dataset, open_data
from convsmith.data.examples import Examples
from convsmith.data.loaders import Batch, training_loader
from convsmith.data.options import DataOptions
from convsmith.data.workers import LoaderFailed


@pytest.fixture(autouse=True)
def _looked_at_often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0.05)
    before = multiprocessing.active_children()
    yield
    assert multiprocessing.active_children() == before


@pytest.fixture
def data(tmp_path: Path, class_folders: Callable[..., Path]) -> Dataset:
    """32 training images."""
    return open_data(DataOptions(source=str(class_folders(tmp_path, {"a": 20, "b": 20}, size=(20, 20))), size=16))


def begun(data: Dataset, batch: int = 2, timeout: float = 60.0) -> tuple[Iterator[Batch], list[int]]:
    """An epoch after its first batch, and the numbers of its two workers, the first one's first."""
    options = DataOptions(loader="streaming", workers=2, timeout=timeout)
    others = {process.pid for process in multiprocessing.active_children()}
    batches = training_loader(data.train, data.preprocess, options, batch=batch, seed=0).epoch(0)
    next(batches)
    pids = [process.pid for process in multiprocessing.active_children() if process.pid not in others]
    assert len(pids) == 2
    return batches, sorted(pid for pid in pids if pid)  # numbers that begin anew between two forks are rare


def rest(batches: Iterator[Batch]) -> int:
    return sum(len(batch.images) for batch in batches)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT"])
def test_a_worker_that_is_killed_is_named(data: Dataset, name: str, many: Callable[[int, int], int]) -> None:
    for number in range(many(2, 20)):
        batches, pids = begun(data)
        os.kill(pids[number % 2], signal.Signals[name])
        with pytest.raises(LoaderFailed) as caught:
            rest(batches)
        said = str(caught.value)
        assert said.startswith(f"loader worker {number % 2} (process {pids[number % 2]}) was killed by {name}"), said
        assert ("a smaller --workers or --batch" in said) == (name == "SIGKILL")
        assert caught.value.exit_code == 1


def test_a_worker_that_is_stopped_is_named_after_the_time_out(data: Dataset, many: Callable[[int, int], int]) -> None:
    for number in range(many(2, 20)):
        batches, pids = begun(data, timeout=1.0)
        os.kill(pids[number % 2], signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(LoaderFailed) as caught:
            rest(batches)
        assert time.monotonic() - began >= 0.9
        assert str(caught.value).startswith(
            f"loader worker {number % 2} (process {pids[number % 2]}) is stopped (SIGSTOP) and has decoded nothing for "
            "1 s (--data.timeout)"
        )


class Strange:
    """Images of which one does something that is not expected of it."""

    def __init__(self, inner, index, act):
        self._inner, self._index, self._act = inner, index, act

    def __len__(self):
        return len(self._inner)

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def read(self, i, least=0):
        if i == self._index:
            self._act()
        return self._inner.read(i, least)


def strange(data: Dataset, act: Callable[[], object], timeout: float = 60.0) -> Iterator[Batch]:
    options = DataOptions(loader="streaming", workers=2, timeout=timeout, cache="off")
    examples = Examples(Strange(data.train.images, 7, act), data.train.targets)  # type: ignore[arg-type]
    return training_loader(examples, data.preprocess, options, batch=4, seed=0).epoch(0)


@pytest.mark.parametrize(
    ("act", "timeout", "said"),
    [
        (lambda: time.sleep(600), 1.0, "hangs: it has decoded nothing for 1 s (--data.timeout) at {file}; a slow disk"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), 60.0, "was killed by SIGSEGV at {file}"),
        (lambda: os._exit(3), 60.0, "ended with exit status 3 at {file}"),
    ],
)
def test_the_image_at_which_it_happened_is_named(
    data: Dataset, act: Callable[[], object], timeout: float, said: str
) -> None:
    with pytest.raises(LoaderFailed) as caught:
        rest(strange(data, act, timeout=timeout))
    assert said.format(file=data.train.name(7)) in str(caught.value)


def test_slow_images_are_no_hang(data: Dataset) -> None:
    assert rest(strange(data, lambda: time.sleep(2.0), timeout=300.0)) == 32
    options = DataOptions(loader="streaming", workers=1, timeout=2.0, cache="off")
    images = Strange(data.train.images, None, None)
    images.read = lambda i, least=0: (time.sleep(0.15), data.train.read(i, least))[1]
    examples = Examples(images, data.train.targets)  # type: ignore[arg-type]
    # A batch takes longer than the time-out, none of its images does.
    assert rest(training_loader(examples, data.preprocess, options, batch=16, seed=0).epoch(0)) == 32


def test_an_error_of_ours_keeps_its_traceback(data: Dataset) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)loader worker \d failed.*test_data_workers.*ZeroDivisionError"):
        rest(strange(data, lambda: 1 // 0))


def test_workers_end_with_the_one_who_asked_no_more(data: Dataset, many: Callable[[int, int], int]) -> None:
    """Whatever they do at that moment: a lock that a killed worker held once blocked the trainer for ever."""
    for _ in range(many(10, 200)):
        batches, pids = begun(data)
        batches.close()  # type: ignore[attr-defined]
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_workers_that_cannot_be_started(data: Dataset) -> None:
    loader = training_loader(data.train, data.preprocess, DataOptions(loader="streaming", workers=2), batch=1, seed=0)
    opened, limits = {int(name) for name in os.listdir("/proc/self/fd")}, resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is on the number of a descriptor, and there may be gaps: three more can be opened below it.
    fourth = [number for number in range(len(opened) + 4) if number not in opened][3]
    resource.setrlimit(resource.RLIMIT_NOFILE, (fourth, limits[1]))
    try:
        with pytest.raises(
            LoaderFailed, match=r"data.workers: 2 loader processes could not be started \(Too many open"
        ):
            next(loader.epoch(0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_handler_of_dead_children_is_left_as_it_was(data: Dataset) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    batches, _ = begun(data)
    assert signal.getsignal(signal.SIGCHLD) == before
    assert rest(batches) == 30


def test_batches_stay_when_later_ones_are_decoded(data: Dataset) -> None:
    loader = training_loader(data.train, data.preprocess, DataOptions(loader="streaming", workers=2), batch=2, seed=0)
    plain = training_loader(data.train, data.preprocess, DataOptions(loader="resident"), batch=2, seed=0)
    kept = list(loader.epoch(0))
    assert all(torch.equal(a.images, b.images) for a, b in zip(kept, plain.epoch(0), strict=True))
