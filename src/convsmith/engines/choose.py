"""The engine for some amount of work: few pictures take the network as it is, many the fastest of a short trial."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from torch import Tensor

from convsmith.base.config import read
from convsmith.base.errors import ConvsmithError
from convsmith.base.remembered import key_of, recall, remember
from convsmith.base.speed import CLEARLY, ratio
from convsmith.engines.inference import Inference
from convsmith.engines.measure import filled, rounds, seconds
from convsmith.engines.names import ENGINES, available
from convsmith.engines.runner import CannotRun, Refused, Runner, chosen
from convsmith.engines.start import PLAIN, Reference, launch, plain, reference, refusal, start
from convsmith.report.text import many
from convsmith.training.engine import Engine, cores

Say = Callable[[str], None]

FILE = "inference.json"
# Images on which an engine must agree with the network as it is.
CHECKED = 32


@dataclass(frozen=True)
class Measured:
    """What a trial found: seconds of an image and of starting; `why` an engine cannot be used, where it cannot."""

    engine: str
    seconds: float
    start_seconds: float
    why: str = ""


def named(name: str, model: Inference, engine: Engine, batch: int, images: Callable[[], Tensor], say: Say) -> Runner:
    """The engine that the user names; UsageError where it is not here, `Refused` where its predictions are others."""
    runner, found = start(name, model, engine, batch, reference(model, engine, batch, images()))
    within = f"probabilities within {found.difference:.0e} on {many(found.images, 'image')}"
    say(f"engine {name} in {runner.precision}: {within}")
    return runner


def automatic(
    model: Inference, engine: Engine, batch: int, count: int, images: Callable[[], Tensor], say: Say
) -> Runner:
    """The runner that is through with `count` images first, starting included; `images` are to try engines on."""
    as_it_is = plain(model, engine, batch)
    if count <= batch:
        return as_it_is  # no work is worth a start
    key = _key(model, engine, batch)
    known = _recalled(key)
    if PLAIN not in known:
        sample = filled(images(), batch)
        as_it_is(sample)
        known[PLAIN] = Measured(PLAIN, seconds(lambda: as_it_is(sample)) / batch, 0.0)
    work = count * known[PLAIN].seconds
    tried = [name for name in available(engine.device) if ENGINES[name].worth <= work]
    if not tried:
        return as_it_is
    checked = reference(model, engine, batch, images())
    runners: list[Runner] = [as_it_is]
    if any(name not in known for name in tried):
        known |= _trial(tried, runners, model, engine, batch, checked, say)
        remember(FILE, key, [asdict(row) for row in known.values()])
        tried = [runner.engine for runner in runners[1:]]  # what was refused is not started once more
    return _started(quickest([known[PLAIN], *(known[n] for n in tried)], count), runners, model, engine, checked, say)


def quickest(found: Sequence[Measured], count: int) -> list[Measured]:
    """The usable engines by how soon they are through with `count` images; others come after the network as it is.

    The first of `found` is the network as it is, which an engine must beat clearly.
    """
    as_it_is, *others = found
    limit = as_it_is.seconds * count / CLEARLY
    faster = [row for row in others if not row.why and row.start_seconds + count * row.seconds < limit]
    return [*sorted(faster, key=lambda row: row.start_seconds + count * row.seconds), as_it_is]


def _started(
    order: Sequence[Measured], ready: list[Runner], model: Inference, engine: Engine, checked: Reference, say: Say
) -> Runner:
    """The first of the order that starts and agrees for these weights; the last is the network as it is."""
    as_it_is = order[-1]
    for row in order[:-1]:
        try:
            runner = next((r for r in ready if r.engine == row.engine), None)
            if runner is None:
                runner, _ = start(row.engine, model, engine, ready[0].batch, checked)
        except Refused as error:
            say(str(error))
            continue
        gain = as_it_is.seconds / row.seconds
        say(f"engine: {row.engine} in {runner.precision}, {gain:.1f} times as fast as the network as it is")
        return runner
    say("engine: the network as it is; no other would finish sooner")
    return chosen(ready, PLAIN)


def _trial(
    names: Sequence[str], runners: list[Runner], model: Inference, engine: Engine, batch: int, checked: Reference,
    say: Say,
) -> dict[str, Measured]:  # fmt: skip
    """What each engine takes; those that can be used join `runners`.

    One that disagrees is timed all the same: of other weights the same network may be run by it. What did not fit into
    memory is left out: the next time there may be more.
    """
    found: dict[str, Measured] = {}
    timed = list(runners)
    for name in names:
        say(f"trying engine {name}")
        try:
            runner, agreement = launch(name, model, engine, batch, checked)
        except Refused as error:
            say(str(error))
            if isinstance(error, CannotRun):
                found[name] = Measured(name, 0.0, 0.0, str(error))
            continue
        timed.append(runner)
        if agreement.objection:
            say(refusal(name, agreement))
        else:
            runners.append(runner)
    times = list(zip(*rounds(timed, filled(checked.images, batch)), strict=True))
    before = sum(times[0]) / len(times[0]) / batch
    for runner, row in zip(timed, times, strict=True):
        # By ratios, since the machine may be busier in one round than in another.
        found[runner.engine] = Measured(runner.engine, before / ratio(times[0], row), runner.start_seconds)
    return found


def _recalled(key: str) -> dict[str, Measured]:
    try:
        rows = [read(Measured, row) for row in recall(FILE, key) or ()]
    except (ConvsmithError, TypeError):
        return {}  # it can be found again
    return {row.engine: row for row in rows}


def _key(model: Inference, engine: Engine, batch: int) -> str:
    """What the fastest engine depends on."""
    return key_of(
        {
            "machine": [engine.device, engine.cpu, cores(), engine.threads],
            "libraries": [engine.torch_version, *(_version(name) for name in ("onnxruntime", "openvino"))],
            "network": model.network.to_json(),
            "shape": [batch, *model.shape],
            "features": model.features_before is not None,
            "precision": engine.precision,
        }
    )


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
