"""Says whether training waited for its images, and how to mend that."""

from collections.abc import Mapping, Sequence
from typing import Any

from convsmith.data.options import DataOptions
from convsmith.report.text import duration, percent

# Waiting below this share of the time, or below this number of seconds, is not reported.
SHARE, SECONDS = 0.05, 5.0


def waiting_note(rows: Sequence[Mapping[str, Any]], options: DataOptions) -> str:
    """The line to say after training, from the rows of its log; empty if training hardly waited.

    The first epoch counts only if it is the only one, since it may decode images that later epochs reuse.
    """
    ends = [0.0, *(row["seconds"] for row in rows)]
    epochs = [
        (row["data_wait"], max(end - begin, 0))
        for row, begin, end in zip(rows, ends[:-1], ends[1:], strict=True)
        if row.get("data_wait") is not None
    ]
    epochs = epochs[1:] or epochs
    spent, waited = sum(seconds for _, seconds in epochs), sum(share * seconds for share, seconds in epochs)
    if waited < SECONDS or waited <= SHARE * spent:
        return ""
    mends = [f"more --workers (now {options.workers})"]
    if options.cache == "off":
        mends.append("--data.cache auto, which keeps decoded images")
    if options.decoding == "exact":
        mends.append("--data.decoding draft for large JPEGs")
    return (
        f"training waited for its images {percent(waited / spent)} of the time ({duration(waited)}); "
        f"mend with {', or '.join(mends)}"
    )
