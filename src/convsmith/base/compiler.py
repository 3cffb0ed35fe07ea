"""The compiler of the machine that torch.compile calls: C++ for a processor, C for what starts a GPU's kernels."""

import os
import shutil


def missing_compiler(device: str) -> str:
    """The compiler that torch.compile lacks on a device, and how to install it; empty if it lacks none."""
    if device == "cpu":
        language, variable, names, where = "C++", "CXX", ("g++",), "on the processor"
    else:
        language, variable, names, where = "C", "CC", ("gcc", "clang"), "even on a GPU"
    stated = os.environ.get(variable)
    names = (stated,) if stated is not None else names
    if any(shutil.which(name) for name in names):
        return ""
    return (
        f"it needs a {language} compiler {where}, and {' or '.join(names)} is not here; install it, or name another in "
        f"the environment's {variable}"
    )
