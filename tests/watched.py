"""Commands in one process under an audit hook: what each says, and whatever it runs or writes that it must not.

Reads from standard input `[folder, [[word, ...], ...]]`: the folder whose Python files must not be run, and the
commands; writes a list of `[exit status, output, events]`.
"""

import contextlib
import io
import json
import os
import sys
import traceback
from pathlib import Path

RUNNING = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.spawn",
    "ctypes.dlopen",
    "pty.spawn",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


def main() -> None:
    """Read, run, answer."""
    import torch  # noqa: F401 - its import opens and starts what is not a part of a command
    import torchvision  # noqa: F401

    from convsmith.cli import main as command

    folder, commands = json.load(sys.stdin)
    planted = os.path.realpath(folder)
    # An export goes into the run by default.
    allowed = (planted, os.path.realpath(os.getcwd()), os.path.realpath(os.environ["CONVSMITH_CACHE"]), "/dev/null")
    events: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "exec" and getattr(arguments[0], "co_filename", "").startswith(planted):
            events.append(f"exec {arguments[0]}")
        elif event == "compile" and isinstance(arguments[1], str) and arguments[1].startswith(planted):
            events.append(f"compile {arguments[1]}")
        elif event == "import" and str(arguments[0]).startswith(("convsmith_user", "evil")):
            events.append(f"import {arguments[0]}")
        elif event in RUNNING and arguments[:1] != ("uname",):  # which Python's platform asks
            events.append(f"{event} {arguments!r:.200}")
        elif event == "open" and isinstance(arguments[0], str) and isinstance(arguments[2], int):
            path = os.path.realpath(arguments[0])
            if arguments[2] & WRITING and not path.startswith(allowed):
                events.append(f"open {path}")

    sys.addaudithook(watch)
    answers = []
    for words in commands:
        events.clear()
        before = list(sys.path)
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                code: object = command(words)
            except SystemExit as error:
                code = error.code
            except BaseException:
                code = traceback.format_exc()
        if sys.path != before:
            events.append("sys.path")
        answers.append([code, err.getvalue() + out.getvalue(), list(events)])
    print(json.dumps(answers))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
    main()
