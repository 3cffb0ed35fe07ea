"""Which of several processes this is, as torchrun and SLURM say it in the environment. No torch here."""

import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from convsmith.base.errors import UsageError


@dataclass(frozen=True)
class Part:
    """The part of the work that falls to process `rank` (from 0) of `size`; the first leads."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that decides, writes and speaks."""
        return self.rank == 0

    def slice(self, begin: int, end: int) -> tuple[int, int]:
        """Its share of the numbers from `begin` to below `end`; the shares differ by at most one."""
        count = end - begin
        return begin + count * self.rank // self.size, begin + count * (self.rank + 1) // self.size


WHOLE = Part()


def part() -> Part:
    """This process among all of a job."""
    return _stated("RANK", "WORLD_SIZE")


def local_part() -> Part:
    """This process among those of the job on this machine."""
    return _stated("LOCAL_RANK", "LOCAL_WORLD_SIZE")


def restarts() -> int:
    """How often torchrun has restarted the processes, or SLURM the job."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) or _number("SLURM_RESTART_COUNT", 0)


def may_restart() -> bool:
    """Whether torchrun will start this command again where a process dies."""
    return _number("TORCHELASTIC_MAX_RESTARTS", 0) > 0


def launch() -> str | None:
    """What stays the same for a job that is restarted and no other job has; None where nothing is known."""
    job, run = os.environ.get("SLURM_JOB_ID"), os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if job:
        return f"slurm {job}"
    return None if run == "none" else f"torchrun {run}"


def end_at_once(code: int) -> None:
    """End this process with exit status `code` and do nothing else but to write out what it has said."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def command() -> str:
    """The command line that this process was started by."""
    return " ".join(sys.argv)


def _stated(rank: str, size: str) -> Part:
    found = Part(_number(rank, 0), _number(size, 1))
    if not 0 <= found.rank < found.size:
        raise UsageError(
            f"the environment says {rank}={found.rank} and {size}={found.size}; expected a number from 0 to below the "
            "size, as torchrun sets them; unset both to train in one process"
        )
    return found


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"the environment says {name}={text}; expected a whole number, as torchrun sets it; unset it to train in "
            "one process"
        ) from None


def check_script_may_be_imported() -> None:
    """Raise UsageError, with the mend, if new processes would import the user's script and so run it again.

    That is how processes start everywhere but where they are forked: on macOS, on Windows, and where a script asks
    for it (`set_start_method("spawn")`).
    """
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if method == "fork" or file is None or (spec is not None and spec.name.endswith("__main__")):
        return
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return  # nothing that could be imported
    if "__main__" not in text:
        raise UsageError(
            f"{file}: the processes that read images import this script, and each would begin it anew; mend with "
            'if __name__ == "__main__": before what it does, or with workers=0'
        )
