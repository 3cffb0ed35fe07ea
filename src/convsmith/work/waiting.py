"""Whether training waited for its images, and what to do about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from convsmith.data.options import DataOptions
from convsmith.report.text import duration, percent

# Waiting below this share of the time, or for so few seconds in all, is not worth a word.
SHARE, SECONDS = 0.05, 5.0


def waiting_note(rows: Sequence[Mapping[str, Any]], options: DataOptions) -> str:
    """What to say after training, from the rows of its log; nothing where it hardly waited.

    The first epoch counts only where it is the only one: its images may have been decoded for those after it.
    """
    ends = [0.0, *(row["seconds"] for row in rows)]
    told = [
        (row["data_wait"], max(end - begin, 0))
        for row, begin, end in zip(rows, ends[:-1], ends[1:], strict=True)
        if row.get("data_wait") is not None
    ]
    told = told[1:] or told
    spent, waited = sum(seconds for _, seconds in told), sum(share * seconds for share, seconds in told)
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
