"""What the processes of a job tell each other beside the gradients: signs of life, decisions, why it all ends.

It lies in the key-value store that torchrun keeps for them, where a wait may be as long as the other one lives.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from convsmith.base.errors import ProcessFailed, Told
from convsmith.base.processes import Part
from convsmith.runs.status import process_lives, process_start

BEAT_SECONDS = 1.0
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


class Board:
    """The store, with a thread that gives this process's signs of life. `patience` is how long silence is no death."""

    def __init__(self, store: Any, part: Part, patience: float):
        self.store, self.part, self.patience = store, part, patience
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(store.clone(),), daemon=True)
        self._thread.start()

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
        """Wait until all processes are there."""
        pid = os.getpid()
        self.put(f"here/{self.part.rank}", [pid, socket.gethostname(), process_start(pid)])
        if self.part.leads:
            for rank in range(1, self.part.size):
                self.read(f"here/{rank}", rank, GATHERING)
            self.put("all here", True)
        self.read("all here", 0, GATHERING)

    def dead(self) -> Sequence[int]:
        """The processes of this machine that are there no more."""
        found = {rank: self.read(f"here/{rank}", rank) for rank in range(self.part.size) if rank != self.part.rank}
        mine = socket.gethostname()
        return [r for r, (pid, host, start) in found.items() if host == mine and process_lives(pid, start) is False]

    def fail(self, message: str, exit_code: int) -> bool:
        """Say why the job ends; False where another process said so before."""
        mine = json.dumps([self.part.rank, message, exit_code])
        return self.store.compare_set("failure", "", mine) == mine.encode()

    def failure(self, wait: float = 0.0) -> Failure | None:
        """Why the job ends, None where nobody has said so for `wait` seconds."""
        deadline = time.monotonic() + wait
        while not self.store.check(["failure"]):
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)
        return Failure(*json.loads(self.store.get("failure")))

    def close(self) -> None:
        """End the signs of life."""
        self._stop.set()
        self._thread.join()

    def _beat(self, store: Any) -> None:
        """Signs of life; and an end to a process whose torchrun was killed, which would go on alone for ever."""
        parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        count = 0
        while not self._stop.is_set():
            try:
                store.set(f"beat/{self.part.rank}", str(count := count + 1))
            except dist.DistError:
                return  # the store is gone: whoever waits for something in it notices that itself
            if parent not in (None, os.getppid()):
                os._exit(1)
            self._stop.wait(BEAT_SECONDS)
