"""Imports of libraries that report each use to their makers, with the reports switched off."""

import os
import sys
from importlib import import_module
from typing import Any

# OpenVINO and NNCF send an event when they are imported, and write an identifier of the user into the home folder.
TELEMETRY = "openvino_telemetry"
# ONNX Runtime 1.32 sends events of each session, and writes an identifier and a database into the home folder. Its
# function `disable_telemetry_events` comes too late: the first event is sent before it can be called.
SWITCH = "ORT_DISABLE_TELEMETRY"


def import_silent(name: str) -> Any:
    """The module `openvino`, `nncf` or `onnxruntime`, imported so that it sends nothing and writes nothing home.

    The first two use an empty class of their own if their telemetry package is not installed.
    """
    if name == "onnxruntime":
        os.environ[SWITCH] = "1"
    elif name not in sys.modules:
        # With None there, the import of the package fails as if it were not installed.
        sys.modules[TELEMETRY] = None  # pyright: ignore[reportArgumentType]
    return import_module(name)
