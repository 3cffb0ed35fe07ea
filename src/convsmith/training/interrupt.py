"""The first Ctrl-C, SIGTERM or SIGHUP asks a loop to finish its step and stop; the second one ends it at once.

Outside such a loop the first one ends the command.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
HANGUP = getattr(signal, "SIGHUP", None)


class Interrupted(KeyboardInterrupt):
    """The loop was asked to stop and did, with a checkpoint written."""


class Request:
    """Whether a stop was requested (`made`). A silent request prints no line."""

    def __init__(self, silent: bool = False) -> None:
        self.made, self.silent = False, silent

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # A terminal that closes sends SIGHUP more than once: the shell sends one, the kernel another.
        if self.made and number != HANGUP:
            raise KeyboardInterrupt
        first, self.made = not self.made, True
        if number == HANGUP:
            _leave_terminal()
        if first and not self.silent:
            # Not by sys.stderr: the loop may be writing to it, and a stream is not reentrant.
            with contextlib.suppress(OSError):
                os.write(2, b"\nstopping after this step; once more stops at once, without a checkpoint\n")


def _leave_terminal() -> None:
    """Redirect the streams of a closed terminal to the null device, since each write would raise an error."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


@contextlib.contextmanager
def stop_at_once() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise KeyboardInterrupt as Ctrl-C does, in the main thread of this process.

    SIGINT does so too if it was ignored, as for `stop_requests`. SIGHUP stays ignored if it was, and what has a handler
    keeps it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a process forked from this one, which has no line to print
            os._exit(128 + number)
        if number == HANGUP:
            _leave_terminal()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [n for n, how in before.items() if how == signal.SIG_DFL or (how == signal.SIG_IGN and n != HANGUP)]
    for number in heard:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


@contextlib.contextmanager
def stop_requests(silent: bool = False) -> Iterator[Request]:
    """Catch the first signal as a request, in the main thread (elsewhere signals cannot be caught).

    SIGINT is caught even if the shell set it to be ignored, as shells do for background jobs of scripts: who sends it
    means it. SIGHUP stays ignored if it was, since that is the purpose of nohup.
    """
    request = Request(silent)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    heard = [number for number in SIGNALS if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, request._handle) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
