"""Scripts on systems whose processes import them again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import convsmith

BODY = """
{indent}multiprocessing.set_start_method("spawn")
{indent}run = cs.train("lenet5", data={data!r}, size=32, epochs=1, batch=8, workers={workers}, quiet=True, out="run",
{indent}               data__loader="streaming", engine__threads=1, data__cache="off")
{indent}print("steps", run.result["steps"])
"""
HEAD = "import multiprocessing\nimport convsmith as cs\n"


@pytest.mark.parametrize(("guard", "workers", "code"), [("", 1, 1), ("", 0, 0), ('if __name__ == "__main__":', 1, 0)])
def test_a_script_that_would_be_run_again_is_told_so(guard, workers, code, shared_pictures, here):
    body = BODY.format(indent="    " if guard else "", data=str(shared_pictures), workers=workers)
    (here / "script.py").write_text(f"{HEAD}{guard}{body}")
    environment = os.environ | {"PYTHONPATH": str(Path(convsmith.__file__).parents[1])}
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == code, done.stderr
    if code:
        assert done.stderr.strip().splitlines()[-1] == (
            f"convsmith.base.errors.UsageError: {here / 'script.py'}: the processes that read images import this "
            'script, and each would begin it anew; mend with if __name__ == "__main__": before what it does, or with '
            "workers=0"
        )
        assert not (here / "run").exists()
    else:
        assert done.stdout == "steps 6\n"
