"""Libraries that report each use to their makers, without that."""

import os
import sys
from importlib import import_module
from typing import Any

# OpenVINO and NNCF send an event when they are imported, and keep a number of the user in the home folder.
TELEMETRY = "openvino_telemetry"
# ONNX Runtime (1.32 does) sends events of each session, and keeps a number and a database in the home folder. Its
# function `disable_telemetry_events` comes too late: the library has sent the first event when it can be called.
SWITCH = "ORT_DISABLE_TELEMETRY"


def import_silent(name: str) -> Any:
    """`openvino`, `nncf` or `onnxruntime`, which then neither sends anything nor writes into the home folder.

    The first two fall back on an empty class of their own that they have for where their telemetry is not installed.
    """
    if name == "onnxruntime":
        os.environ[SWITCH] = "1"
    elif name not in sys.modules:
        # None: an import of it fails as if it were not installed.
        sys.modules[TELEMETRY] = None  # pyright: ignore[reportArgumentType]
    return import_module(name)
