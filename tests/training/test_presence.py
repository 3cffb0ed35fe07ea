"""Processes find those that were started with them, and hear of each other as long as they live."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import torch.distributed as dist
from convsmith.training.presence import Failure, join

from convsmith.base.errors import ProcessFailed, Told
from convsmith.base.processes import Part
from convsmith.training import presence as presences

PATIENCE = 60.0


@pytest.fixture
def store(monkeypatch):
    """`store()` is another connection to the same store; signs of life come often, and end with it."""
    monkeypatch.setattr(presences, "BEAT_SECONDS", 0.05)
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
    port = server.port
    yield lambda: dist.TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=60))
    del server
    for thread in threading.enumerate():
        if thread.name == presences.THREAD:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def start(store):
    """`start(restarts of each)` joins as many processes, the last one first."""

    def joined(*restarts, patience=PATIENCE):
        size = len(restarts)
        with ThreadPoolExecutor(size) as pool:
            waiting = [
                pool.submit(join, store(), Part(rank, size), patience, restarts[rank]) for rank in reversed(range(size))
            ]
            return [one.result(PATIENCE) for one in reversed(waiting)]

    return joined


def test_those_of_one_start_find_each_other_in_a_store_that_had_another(start):
    """A torchrun that only saw a member come counts no restart; another one does."""
    first, second, third = start(0, 0, 0), start(0, 1, 0), start(0, 0, 0)
    assert [one.restarted for one in (*first, *second, *third)] == [False] * 3 + [True] * 6
    for number, group in enumerate((first, second, third)):
        group[0].put("word", number)
    assert [[one.read("word", 0) for one in group] for group in (first, second, third)] == [[0] * 3, [1] * 3, [2] * 3]


def test_a_restart_in_a_new_store_is_known_by_all_where_one_counted_it(start):
    assert [one.restarted for one in start(0, 1)] == [True, True]


def test_one_of_an_earlier_start_that_said_hello_is_not_waited_for(store, start):
    store().set("hello/1", "gone before it was shown in")
    assert [one.part.rank for one in start(0, 0)] == [0, 1]


def test_who_does_not_come_is_named(store, monkeypatch):
    monkeypatch.setattr(presences, "GATHERING", 0.3)
    with pytest.raises(ProcessFailed, match=r"^process 1 of 2 did not come within 0.3 s$"):
        join(store(), Part(0, 2), PATIENCE, 0)
    with pytest.raises(ProcessFailed, match=r"^the first process did not come within 0.3 s$"):
        join(store(), Part(1, 3), PATIENCE, 0)


def test_a_meeting_waits_longer_than_patience_for_one_that_lives_and_not_for_one_that_is_silent(start):
    first, second = start(0, 0, patience=2)
    late = threading.Timer(2.5, second.meet)
    late.start()
    began = time.monotonic()
    first.meet()
    assert time.monotonic() - began > 2
    late.join()
    with pytest.raises(ProcessFailed, match=r"^process 7 of 2 gave no sign of life for 0.3 s$"):
        first.read("word", author=7, patience=0.3)


def test_why_one_use_ended_is_not_said_of_the_next(start):
    first, second = start(0, 0)
    assert second.fail("out of paper", 4)
    assert not first.fail("something else", 1)
    assert first.failure() == second.failure() == Failure(1, "out of paper", 4)
    with pytest.raises(Told, match=r"^out of paper$"):
        first.meet()
    first.begin()
    second.begin()
    assert first.failure() is None
    second.put(second.turn("lead"), "well")
    assert first.read(first.turn("lead"), 1) == "well"
