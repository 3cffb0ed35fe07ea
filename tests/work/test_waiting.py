"""What is said after a run that waited for its images."""

from convsmith.data.options import DataOptions
from convsmith.work.waiting import waiting_note


def rows(*epochs: tuple[float, float | None]) -> list[dict]:
    """Rows of a log: for each epoch its seconds and the share of waiting."""
    seconds, found = 0.0, []
    for took, share in epochs:
        seconds += took
        found.append({"seconds": seconds, "data_wait": share})
    return found


def test_a_run_that_waits_is_told_what_to_do() -> None:
    assert waiting_note(rows((100, 0.9), (60, 0.25), (40, 0.5)), DataOptions(workers=2)) == (
        "training waited for its images 35.0% of the time (35 s); mend with more --workers (now 2), or "
        "--data.decoding draft for large JPEGs"
    )
    options = DataOptions(workers=4, cache="off", decoding="draft")
    assert waiting_note(rows((100, 0.1)), options) == (
        "training waited for its images 10.0% of the time (10 s); mend with more --workers (now 4), or "
        "--data.cache auto, which keeps decoded images"
    )


def test_nothing_is_said_of_little_waiting() -> None:
    options = DataOptions()
    assert waiting_note([], options) == ""
    assert waiting_note(rows((100, 0.9), (100, 0.05), (100, 0.04)), options) == "", "the first decodes for the others"
    assert waiting_note(rows((1, 0.5), (1, 0.5)), options) == "", "a second in all"
    assert waiting_note(rows((100, None)), options) == "", "nothing was measured"
    assert waiting_note(rows((100, 0.051)), options) != ""
