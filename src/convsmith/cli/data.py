"""`convsmith data check|stats PATH`, `convsmith data cache`."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from convsmith.base.errors import UsageError, unknown
from convsmith.cli.arguments import Parser, add_output, add_short, megapixels, print_json
from convsmith.cli.output import show, show_text
from convsmith.data.check import check_path
from convsmith.data.dataset import offering_skip, open_usable, skipped_files
from convsmith.data.options import DataOptions
from convsmith.data.restrict import without
from convsmith.data.slots import clear_stored, decoded_folder, list_stored
from convsmith.data.sources.archives import clear_unpacked, list_unpacked, unpacked_folder
from convsmith.data.sources.opening import KNOWN, describe
from convsmith.data.split import split_source
from convsmith.data.stats import stats
from convsmith.recipes.choose import chosen_data
from convsmith.report.text import clean, count, many, size, table
from convsmith.work.first_start import expected_start

SHOWN = 40
# Numbers that the head, the table of classes and the advice of `stats` show already.
_IN_ADVICE = ("name", "kind", "splits", "classes", "lighting", "warnings", "advice", "imbalance", "flip")


def run(words: Sequence[str]) -> int:
    """Check every file of a data set, print its statistics, or list or clear the cache of decoded images."""
    parser = Parser(
        "data",
        "check: open every file; list what is broken, odd, or in two splits. stats: counts, sizes, advice. "
        "cache: the decoded images that are kept on the disk.",
    )
    parser.add_argument("what", help="check, stats or cache")
    parser.add_argument("source", nargs="?", help=f"a path, or one of {', '.join(KNOWN)}; of cache: list or clear")
    help = "only these classes, as train takes them"
    parser.add_argument("--data.classes", dest="classes", type=_listed, default=(), metavar="A,B", help=help)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="files opened at once")
    add_short(parser, "max_megapixels", "on_bad")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_output(parser)
    values = parser.read(words)
    values.max_megapixels = megapixels(values.max_megapixels)
    actions = {"check": _check, "stats": _stats, "cache": _cache}
    if values.what not in actions:
        raise unknown("action of data:", values.what, actions)
    if values.source is None and values.what != "cache":
        raise UsageError(f"data {values.what}: expected a path, or one of {', '.join(KNOWN)}")
    if values.on_bad is not None and values.what != "stats":
        raise UsageError(f"data {values.what}: --on-bad is an option of train and of data stats; leave it out")
    return actions[values.what](values)


def _check(values) -> int:
    progress = None if values.quiet else _progress()
    report = check_path(values.source, values.workers, progress, values.classes, values.max_megapixels)
    if values.json:
        print_json(report.to_json())
        return 0 if report.ok else 1
    if report.card is not None:
        show(f"data {report.card.name}: {describe(report.card)}")
        for note in report.card.notes:
            show(note)
    kinds: dict[str, int] = {}
    for finding in report.findings:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    for kind in kinds:
        of_kind = [f for f in report.findings if f.kind == kind]
        show(f"{kind.replace('_', ' ')}: {len(of_kind)}")
        for finding in of_kind[:SHOWN]:
            show(f"  {finding.file}: {finding.detail}")
        if len(of_kind) > SHOWN:
            show(f"  ... and {len(of_kind) - SHOWN} more (all with --json)")
    show(f"{many(report.files, 'file')}, {many(len(report.findings), 'finding')}: {report.verdict}")
    return 0 if report.ok else 1


def _stats(values) -> int:
    own = {"classes": values.classes, "max_megapixels": values.max_megapixels}
    options = DataOptions(source=values.source, on_bad=values.on_bad or "error", **own)
    source = open_usable(options)
    description = describe(source.card)
    skipped = skipped_files(source, options)
    notes = split_source(source, options, skipped).notes
    if skipped:
        source = without(source, {split: {s.index for s in skipped if s.split == split} for split in source.splits})
        files = many(len(skipped), "file that cannot be read is", "files that cannot be read are")
        notes = (*notes, f"{files} left out, first {skipped[0].file} ({skipped[0].problem})")
    seen, start = expected_start(values.source) or (chosen_data(values.source), "")
    with offering_skip(options):
        numbers = stats(source, values.workers, replace(seen, **own), start)
    status = 1 if numbers["unreadable"] else 0
    if values.json:
        print_json(numbers)
        return status
    for line in (description, *source.card.notes, *notes):
        show(line)
    show()
    splits = list(numbers["splits"])
    rows = [(name, *(count(tally.get(split, 0)) for split in splits)) for name, tally in numbers["classes"].items()]
    show_text(table(("class", *splits), rows[:SHOWN], align="<" + ">" * len(splits)))
    if len(rows) > SHOWN:
        show(f"... and {many(len(rows) - SHOWN, 'class', 'classes')} more (all with --json)")
    show()
    for key, value in numbers.items():
        if key not in _IN_ADVICE and value not in (None, [], {}, ""):
            show(f"{key.replace('_', ' '):<16} {_text(value)}")
    show()
    for line in numbers["advice"]:
        show(line)
    for warning in numbers.get("warnings", ()):
        show(f"warning: {warning}")
    return status


def _cache(values) -> int:
    actions = ("list", "clear")
    action = values.source or "list"
    if action not in actions:
        raise unknown("action of data cache:", action, actions)
    folder = decoded_folder()
    if action == "clear":
        freed, used = clear_unpacked()
        freed += clear_stored()
        if values.json:
            print_json({"folder": str(folder), "freed_bytes": freed, "in_use": used})
            return 0
        show(f"freed {size(freed)} in {folder}")
        if used:
            show(f"kept, since another process reads them: {', '.join(used)} in {unpacked_folder()}")
        return 0
    entries, archives = list_stored(), list_unpacked()
    if values.json:
        listing = {"folder": str(folder), "entries": [entry.to_json() for entry in entries]}
        print_json(listing | {"unpacked": [{"name": name, "bytes": amount} for name, amount in archives]})
        return 0
    days = [time.strftime("%Y-%m-%d", time.localtime(entry.used)) for entry in entries]
    rows = [
        (clean(e.source, 40), e.split, count(e.images), "x".join(map(str, e.size)), e.content, size(e.bytes), day)
        for e, day in zip(entries, days, strict=True)
    ]
    if rows:
        show_text(table(("data", "split", "images", "of each", "kept", "on disk", "last used"), rows, align="<<>><>>"))
    show(
        f"{size(sum(entry.bytes for entry in entries))} in {folder}" + (" (data cache clear frees it)" if rows else "")
    )
    if archives:
        total = size(sum(amount for _, amount in archives))
        kept = many(len(archives), "unpacked archive")
        show(f"{kept}, {total} in {unpacked_folder()} (data cache clear frees them)")
    return 0


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _progress() -> Callable[[int, int], None] | None:
    """A counter on stderr; None if stderr is not a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        print(f"\r{done}/{many(total, 'file')}", end=end, file=sys.stderr, flush=True)

    return show
