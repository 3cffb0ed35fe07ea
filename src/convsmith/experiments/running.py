"""Train the members of an experiment with every seed, in one folder."""

from pathlib import Path

from convsmith.experiments.drawing import story_of
from convsmith.experiments.experiment import Experiment
from convsmith.series.member import Member, seeded
from convsmith.series.running import Concluded, Say, train_series


def reproduce(
    name: str, experiment: Experiment, members: tuple[Member, ...], *, seeds: int, folder: Path, quiet: bool = False,
    say: Say = print, allow_drift: bool = False,
) -> Concluded:  # fmt: skip
    """Train every member with `seeds` seeds, from its own upwards, as `train_series` does."""
    runs, story = seeded(members, seeds), story_of(name, experiment, members)
    return train_series(runs, folder, story, quiet=quiet, say=say, allow_drift=allow_drift)
