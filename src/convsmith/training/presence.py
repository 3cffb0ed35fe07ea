"""What the processes of a job tell each other beside the gradients: signs of life, decisions, why it all ends.

It lies in the key-value store that torchrun keeps for them, where a wait may be as long as the other one lives.
"""

import itertools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from convsmith.base.errors import ProcessFailed, Told
from convsmith.base.processes import Part
from convsmith.runs.status import process_lives, process_start

BEAT_SECONDS = 1.0
THREAD = "signs of life"
# How long a process that is not the first leaves it to the first to say what both have seen.
DEFERENCE = 2.0
# From the first process that is there to the last: torch alone can take minutes to load from a slow disk.
GATHERING = 600.0


@dataclass(frozen=True)
class Failure:
    """Why a job ends, as the first process to say so put it."""

    rank: int
    message: str
    exit_code: int


class Presence:
    """This process among the others that were started with it; `join` makes it.

    `patience` is how long silence is no death; `restarted` says that processes of the job were there before these. A
    thread gives signs of life. What is said belongs to one use of the processes, from one `begin` to the next.
    """

    def __init__(self, store: Any, part: Part, patience: float):
        self.store, self.part, self.patience, self.restarted = store, part, patience, False
        self._uses = itertools.count()
        self.begin()
        threading.Thread(target=self._beat, args=(store.clone(),), daemon=True, name=THREAD).start()

    def begin(self) -> None:
        """Begin the next use of the processes: an end, and why, that was said of one before does not count for it."""
        self._use, self._turns = next(self._uses), itertools.count()

    def key(self, name: str) -> str:
        """A key of the present use alone."""
        return f"{name}/{self._use}"

    def turn(self, name: str) -> str:
        """A key of its own for what all processes do next, each of them in the same order."""
        return f"{self.key(name)}/{next(self._turns)}"

    def put(self, key: str, value: Any) -> None:
        """Write down JSON data for the others to read."""
        self.store.set(key, json.dumps(value))

    def read(self, key: str, author: int, patience: float | None = None) -> Any:
        """What process `author` wrote, once it has.

        Raises `Told` where the job has failed meanwhile and `ProcessFailed` where the author shows no sign of life.
        """
        patience = self.patience if patience is None else patience
        seen, since, pause = b"", time.monotonic(), 0.001
        while not self.store.check([key]):
            if (failure := self.failure()) is not None:
                raise Told(failure.message, failure.exit_code)
            now = self.store.get(f"beat/{author}") if self.store.check([f"beat/{author}"]) else b""
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > patience:
                raise ProcessFailed(f"process {author} of {self.part.size} gave no sign of life for {patience:g} s")
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return json.loads(self.store.get(key))

    def meet(self) -> None:
        """Wait until all processes have come to this call, each as long as it lives."""
        key = self.turn("met")
        if self.part.leads:
            for rank in range(1, self.part.size):
                self.read(f"{key}/{rank}", rank)
            self.put(key, True)
        else:
            self.put(f"{key}/{self.part.rank}", True)
            self.read(key, 0)

    def dead(self) -> Sequence[int]:
        """The processes of this machine that are there no more."""
        found = {rank: self.read(f"here/{rank}", rank) for rank in range(self.part.size) if rank != self.part.rank}
        mine = socket.gethostname()
        return [r for r, (pid, host, start, _) in found.items() if host == mine and process_lives(pid, start) is False]

    def fail(self, message: str, exit_code: int) -> bool:
        """Say why the job ends; False where another process said so before."""
        mine = json.dumps([self.part.rank, message, exit_code])
        return self.store.compare_set(self.key("failure"), "", mine) == mine.encode()

    def failure(self, wait: float = 0.0) -> Failure | None:
        """Why the job ends, None where nobody has said so for `wait` seconds."""
        deadline = time.monotonic() + wait
        while not self.store.check([self.key("failure")]):
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)
        return Failure(*json.loads(self.store.get(self.key("failure"))))

    def _beat(self, store: Any) -> None:
        """Signs of life; and an end to a process whose torchrun was killed, which would go on alone for ever."""
        parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        for count in itertools.count():
            try:
                store.set(f"beat/{self.part.rank}", str(count))
            except dist.DistError:
                return  # the store is gone: whoever waits for something in it notices that itself
            if parent not in (None, os.getppid()):
                os._exit(1)
            time.sleep(BEAT_SECONDS)


def join(store: Any, part: Part, patience: float, restarts: int) -> Presence:
    """Wait until all processes that were started together are there; `restarts` is what this one knows of.

    A store that outlives its processes still has what those before wrote, and each torchrun counts only the restarts
    that were its own doing. So the first process opens a room with a new name for each start and shows the others in.
    """
    mine = secrets.token_hex(8)
    if part.leads:
        room = mine
    else:
        store.set(f"hello/{part.rank}", mine)
        room = _shown_in(store, mine)
    presence = Presence(PrefixStore(room, store), part, patience)
    pid = os.getpid()
    presence.put(f"here/{part.rank}", [pid, socket.gethostname(), process_start(pid), restarts])
    if part.leads:
        earlier = store.add("starts", 1) - 1
        try:
            _show_in(store, presence, room)
        except ProcessFailed as error:
            presence.fail(str(error), error.exit_code)
            raise
        counts = [presence.read(f"here/{rank}", rank)[-1] for rank in range(part.size)]
        presence.put("all here", earlier + max(counts) > 0)
    presence.restarted = presence.read("all here", 0, GATHERING)
    return presence


def _shown_in(store: Any, mine: str) -> str:
    """The room that the first process names to the one that said hello as `mine`."""
    deadline, pause = time.monotonic() + GATHERING, 0.001
    while not store.check([f"welcome/{mine}"]):
        if time.monotonic() > deadline:
            raise ProcessFailed(f"the first process did not come within {GATHERING:g} s")
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
    return store.get(f"welcome/{mine}").decode()


def _show_in(store: Any, presence: Presence, room: str) -> None:
    """Name the room to all who say hello until each rank is in it: the first to do so may be of an earlier start."""
    missing, shown = set(range(1, presence.part.size)), dict[int, bytes]()
    deadline, pause = time.monotonic() + GATHERING, 0.001
    while missing := {rank for rank in missing if not presence.store.check([f"here/{rank}"])}:
        for rank in missing:
            guest = store.get(f"hello/{rank}") if store.check([f"hello/{rank}"]) else b""
            if guest != shown.get(rank, b""):
                store.set(f"welcome/{guest.decode()}", room)
                shown[rank], deadline = guest, time.monotonic() + GATHERING
        if time.monotonic() > deadline:
            raise ProcessFailed(f"process {min(missing)} of {presence.part.size} did not come within {GATHERING:g} s")
        time.sleep(pause)
        pause = min(2 * pause, 0.05)
