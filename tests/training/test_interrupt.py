"""Which signals ask a training to stop, however it was started."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from convsmith.training import interrupt

SOURCE = str(Path(interrupt.__file__).parents[2])
# A loop as the training's: it ends after the step in which it was asked to, and says so where it may.
LOOP = """
import sys, time
from convsmith.training.interrupt import stop_requests
with stop_requests() as request:
    print("ready", flush=True)
    deadline = time.monotonic() + {limit}
    while not request.made and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    print("a line", flush=True)
    print("another", file=sys.stderr, flush=True)
    open({file!r}, "w").write(str(request.made))
"""


def start(file: Path, limit: float = 300.0, ignored: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    def ignore() -> None:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    process = subprocess.Popen(
        [sys.executable, "-c", LOOP.format(file=str(file), limit=limit)], env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=ignore,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [(), (signal.SIGINT,)], ids=["", "in the background of a script"])
def test_each_signal_is_a_request(number: int, ignored: tuple[int, ...], tmp_path: Path) -> None:
    process = start(tmp_path / "asked", ignored=ignored)
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, (tmp_path / "asked").read_text()) == (0, "True")
    assert err == "\nstopping after this step; once more stops at once, without a checkpoint\nanother\n"


def test_the_end_of_the_terminal_is_nothing_under_nohup(tmp_path: Path) -> None:
    process = start(tmp_path / "asked", limit=1.0, ignored=(signal.SIGHUP, signal.SIGINT))
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=300)
    assert (process.returncode, (tmp_path / "asked").read_text()) == (0, "False")


def test_a_terminal_that_hangs_up_twice_is_one_request(tmp_path: Path) -> None:
    process = start(tmp_path / "asked")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=300)
    assert (process.returncode, (tmp_path / "asked").read_text()) == (0, "True")


def test_the_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    process = start(tmp_path / "asked")
    process.send_signal(signal.SIGHUP)
    assert process.stderr
    assert process.stderr.readline() == "\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode != 0
    assert not (tmp_path / "asked").exists()


def test_the_loop_outlives_its_terminal(tmp_path: Path) -> None:
    """Whoever writes to a terminal that has closed gets an error each time."""
    pid, terminal = pty.fork()
    if not pid:
        code = textwrap.dedent(LOOP).format(file=str(tmp_path / "asked"), limit=300.0)
        os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": SOURCE})
    assert os.read(terminal, 100).startswith(b"ready")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (tmp_path / "asked").read_text() == "True"
