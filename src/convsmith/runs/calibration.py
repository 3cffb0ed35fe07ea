"""The temperature that was fitted to a run's validation images: `calibration.json`."""

import math
from typing import Any

from convsmith.base.errors import BadFile
from convsmith.runs.directory import RunDirectory

RECORD = "calibration"


def store_calibration(run: RunDirectory, temperature: float, step: int, splits: dict[str, Any]) -> None:
    """Write the record whole or not at all: what the outputs of the weights of `step` are to be divided by.

    `splits` says for each split what it was before and after.
    """
    run.write_record(RECORD, {"temperature": temperature, "step": step, "fitted_on": "val", "splits": splits})


def stored_temperature(run: RunDirectory, step: int, edited: bool = False) -> tuple[float, tuple[str, ...]]:
    """The temperature for the weights of `step`, and why it is 1 although the run has another.

    It is no longer right for other weights, nor for a network that was edited. Raises BadFile for a damaged record.
    """
    if not run.has(RECORD):
        return 1.0, ()
    record = run.record(RECORD)
    fitted = isinstance(record, dict) and record.get("temperature")
    if not isinstance(fitted, float) or not (math.isfinite(fitted) and fitted > 0) or "step" not in record:
        raise BadFile(
            run.path / f"{RECORD}.json",
            f"expected a temperature above 0 and a step, received {record!r:.80}; mend: delete the file, and fit anew "
            f"with: convsmith eval {run.path} --calibrate",
        )
    if record["step"] == step and not edited:
        return fitted, ()
    other = "this network is edited" if edited else f"these are of step {step}"
    return 1.0, (f"the temperature in {run.path} is for its weights of step {record['step']}; {other}: not used",)
