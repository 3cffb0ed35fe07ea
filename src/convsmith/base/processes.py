"""The rank of this process among several, as torchrun and SLURM state it in the environment."""

import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from convsmith.base.errors import UsageError


@dataclass(frozen=True)
class Part:
    """Process `rank` (from 0) of `size` processes; the first one leads."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that decides, writes files and prints."""
        return self.rank == 0

    def slice(self, begin: int, end: int) -> tuple[int, int]:
        """The first and the end of this process's share of `begin` to below `end`; shares differ by at most one."""
        count = end - begin
        return begin + count * self.rank // self.size, begin + count * (self.rank + 1) // self.size


WHOLE = Part()


def part() -> Part:
    """The rank of this process among all processes of the job."""
    return _stated("RANK", "WORLD_SIZE")


def local_part() -> Part:
    """The rank of this process among the processes of the job on this machine."""
    return _stated("LOCAL_RANK", "LOCAL_WORLD_SIZE")


def restarts() -> int:
    """How often torchrun has restarted the processes, or SLURM the job."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) or _number("SLURM_RESTART_COUNT", 0)


def may_restart() -> bool:
    """Whether torchrun will start this command again if a process dies."""
    return _number("TORCHELASTIC_MAX_RESTARTS", 0) > 0


def launch() -> str | None:
    """The identifier of the job, which a restart keeps and no other job has; None if it is unknown."""
    job, run = os.environ.get("SLURM_JOB_ID"), os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if job:
        return f"slurm {job}"
    return None if run == "none" else f"torchrun {run}"


def end_at_once(code: int) -> None:
    """End this process with exit status `code`, after flushing its output and without any other cleanup."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def command() -> str:
    """The command line of this process."""
    return " ".join(sys.argv)


def _stated(rank: str, size: str) -> Part:
    job = Part(_number(rank, 0), _number(size, 1))
    if not 0 <= job.rank < job.size:
        raise UsageError(
            f"the environment says {rank}={job.rank} and {size}={job.size}; expected a number from 0 to below the "
            "size, as torchrun sets them; unset both to train in one process"
        )
    return job


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

    Every start method but `fork` imports it: the ones of macOS and Windows, and `set_start_method("spawn")`.
    """
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if method == "fork" or file is None or (spec is not None and spec.name.endswith("__main__")):
        return
    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return  # no script to import
    if "__main__" not in text:
        raise UsageError(
            f"{file}: the processes that read images import this script, and each would begin it anew; mend with "
            'if __name__ == "__main__": before what it does, or with workers=0'
        )
