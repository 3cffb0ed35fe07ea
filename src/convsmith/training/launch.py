"""`--nproc N`: the same command once more, N times, by torchrun."""

import logging
import os
import signal
from collections.abc import Sequence
from itertools import pairwise

from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from convsmith.base.errors import UsageError
from convsmith.report.text import many
from convsmith.training.engine import cores


def launch(verb: str, words: Sequence[str], count: int) -> int:
    """Run the command `verb` with `words` in `count` processes of this machine; gives the first failure's status."""
    if count > cores():
        raise UsageError(
            f"--nproc {count}: this machine has {many(cores(), 'core')}; start at most one process for each"
        )
    # torchrun would set it to 1 and say so.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    logging.disable(logging.ERROR)  # the processes say what happens
    own = ["-m", "convsmith", verb, *without_count(words)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        torchrun.main(["--standalone", f"--nproc-per-node={count}", *own])
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 1
    except SignalException:
        return 130
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def without_count(words: Sequence[str]) -> list[str]:
    """The words but `--nproc N`."""
    pairs = pairwise(["", *words])
    return [word for before, word in pairs if "--nproc" not in (before, word.partition("=")[0])]
