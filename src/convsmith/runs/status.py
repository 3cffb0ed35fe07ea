"""Who works on a run and how far it is; tells a run whose process was killed."""

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["created", "running", "paused", "stopped", "finished", "failed"]
HEARTBEAT_LIMIT = 120.0


@dataclass(frozen=True)
class Status:
    """What `status.json` holds; times are Unix seconds, `seconds` is the work of all sessions together."""

    state: State = "created"
    pid: int | None = None
    host: str | None = None
    process_start: str | None = None
    heartbeat: float | None = None
    step: int = 0
    total_steps: int | None = None
    epoch: int = 0
    message: str = ""
    started: float | None = None
    seconds: float = 0.0


def effective_state(status: Status) -> str:
    """The state, where `running` without a living process is `killed`.

    On this host the process itself is looked for; on another one it is dead after `HEARTBEAT_LIMIT` without heartbeat.
    """
    if status.state != "running":
        return status.state
    living = process_lives(status.pid, status.process_start) if status.host == socket.gethostname() else None
    if living is None:
        living = status.heartbeat is not None and time.time() - status.heartbeat <= HEARTBEAT_LIMIT
    return "running" if living else "killed"


def process_start(pid: int) -> str | None:
    """When a living process started, in ticks of the named boot; None for a dead one and where there is no `/proc`."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold blanks and brackets itself.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else f"{fields[19]}@{boot[:8]}"


def process_lives(pid: int | None, started: str | None) -> bool | None:
    """Whether the process runs on this host; a later one under the same number does not count. None: cannot be told."""
    if pid is None or pid <= 0:
        return None
    if process_start(os.getpid()) is not None:
        now = process_start(pid)
        return now is not None and started in (None, now)
    if os.name != "posix":
        return None  # os.kill(pid, 0) would send Ctrl-C there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
