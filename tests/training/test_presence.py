"""Processes find those that were started with them, and hear of each other as long as they live."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist

from convsmith.base.errors import ProcessFailed, Told
from convsmith.base.processes import Part
from convsmith.training import distributed, together
from convsmith.training.distributed import Group, beat
from convsmith.training.together import gathered

LIMIT = 60.0


@pytest.fixture
def store(monkeypatch):
    """`store()` is another connection to the same store; signs of life come often, and end with it."""
    monkeypatch.setattr(distributed, "BEAT_SECONDS", 0.05)
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=LIMIT))
    port, threads = server.port, threading.enumerate()
    yield lambda: dist.TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=LIMIT))
    del server
    for thread in set(threading.enumerate()) - set(threads):
        thread.join(LIMIT)
        assert not thread.is_alive()


@pytest.fixture
def start(store):
    """`start(size)` gathers as many processes, the last one first; gives the number of the start that each found."""

    def numbers(size):
        with ThreadPoolExecutor(size) as pool:
            waiting = [pool.submit(gathered, store(), Part(rank, size)) for rank in reversed(range(size))]
            return [one.result(LIMIT) for one in reversed(waiting)]

    return numbers


@pytest.fixture
def pair(store):
    """`pair(patience)`: two processes of one start, which give signs of life."""

    def made(patience=LIMIT):
        both = [Group(store(), Part(rank, 2), patience) for rank in range(2)]
        for rank, group in enumerate(both):
            threading.Thread(target=beat, args=(store(), rank), daemon=True).start()
            group.begin()
        return both

    return made


def test_those_of_one_start_find_each_other_in_a_store_that_had_another(start):
    assert [start(3), start(3), start(2)] == [[1] * 3, [2] * 3, [3] * 2]


@pytest.mark.parametrize(
    ("number", "counts", "wanted"),
    [(1, (0, 0), False), (1, (0, 1), True), (2, (0, 0), True)],
    ids=["first", "counted by one", "in the same store"],
)
def test_a_restart_is_known_where_one_counted_it_or_the_store_had_one(number, counts, wanted):
    """A torchrun that only saw a member come counts no restart; another one does."""
    group = Group(dist.HashStore(), Part(0, 2), LIMIT, number)
    group.members = [("host", 7, None, count) for count in counts]
    assert group.restarted() is wanted


def test_one_of_an_earlier_start_is_not_waited_for(store, start):
    """Its first process came, one more did, and it ended before the last had come."""
    store().add("starts", 1)
    store().add("1/1", 1)
    assert start(3) == [2] * 3


def test_who_does_not_come_is_named(store, monkeypatch):
    monkeypatch.setattr(together, "GATHERING", 0.3)
    with pytest.raises(ProcessFailed, match=r"^process 1 of 2 did not come within 0.3 s$"):
        gathered(store(), Part(0, 2))
    with pytest.raises(ProcessFailed, match=r"^the first process did not come within 0.3 s$"):
        gathered(store(), Part(1, 3))


def test_a_meeting_waits_longer_than_patience_for_one_that_lives(pair):
    first, second = pair(patience=2)
    late = threading.Timer(2.5, second.meet)
    late.start()
    began = time.monotonic()
    first.meet()
    assert time.monotonic() - began > 2
    late.join()


@pytest.mark.parametrize("silent", [0, 1])
def test_one_that_is_silent_before_a_meeting_is_named_by_the_other(silent, store):
    """As it is where a process is stopped before the first step, or the first one while it writes."""
    other = Group(store(), Part(1 - silent, 2), 0.3)
    other.begin()
    with pytest.raises(ProcessFailed, match=rf"^process {silent} of 2 gave no sign of life for 0.3 s$"):
        other.meet()


def test_why_one_use_ended_is_not_said_of_the_next(pair):
    first, second = pair()
    assert second.fail("out of paper", 4)
    assert not first.fail("something else", 1)
    for group in (first, second):
        with pytest.raises(Told, match=r"^out of paper$") as told:
            group.meet()
        assert told.value.exit_code == 4
        group.begin()
        assert group.failure() is None
    assert (first.lead(lambda: ["well"]), second.lead(lambda: 1 / 0)) == (["well"], ["well"])
