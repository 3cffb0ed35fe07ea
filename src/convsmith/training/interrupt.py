"""Ctrl-C (or SIGTERM) once asks a loop to finish its step; twice ends it at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The loop was asked to stop and did, with a checkpoint written."""


class Request:
    """Whether a stop was asked for; a silent one does not say that it heard."""

    def __init__(self, silent: bool = False) -> None:
        self.made, self.silent = False, silent

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        if self.silent:
            return
        # Not by sys.stderr: the loop may be in the middle of a line there, and a stream cannot be entered twice.
        with contextlib.suppress(OSError):
            os.write(2, b"\nstopping after this step; once more stops at once, without a checkpoint\n")


@contextlib.contextmanager
def stop_requests(silent: bool = False) -> Iterator[Request]:
    """Catch the first SIGINT or SIGTERM as a request, in the main thread (elsewhere signals cannot be caught)."""
    request = Request(silent)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request._handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
