"""`convsmith export RUN --to onnx`, `--to bundle`, `--to torchvision`, `--to timm`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convsmith.base.errors import UsageError
from convsmith.cli.arguments import Parser, add_edit, add_output, print_json, say
from convsmith.cli.output import show
from convsmith.deploy.formats import FORMATS
from convsmith.report.text import many, size


def run(words: Sequence[str]) -> int:
    """Write a run's network for another program, and compare the outputs on real images."""
    parser = Parser(
        "export", "Write a run's network for another program, checked on its validation images. 1: it differs."
    )
    parser.add_argument("run", help="a run's directory")
    parser.add_argument(
        "--to",
        metavar=f"{{{','.join(FORMATS)}}}",
        default="onnx",
        help="onnx; bundle: one file for convsmith; or weights by torchvision's or timm's names",
    )
    parser.add_argument("--data", metavar="PATH", help="where the run's own data lies now, if it has moved")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write (weights: .safetensors, .pth or .pt); none: RUN/export/..."
    )
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, help="largest difference, relative to the largest output"
    )
    add_edit(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")
    add_output(parser)
    values = parser.read(words)
    if values.to not in FORMATS:
        from convsmith.recipes import meant

        command = f"convsmith export {shlex.quote(values.run)} --to {meant.format_meant(values.to)}"
        raise UsageError(f"export: {meant.no_format(values.to)}; try: {command}")
    from convsmith.runs.subject import open_subject
    from convsmith.work.evaluate import own_split

    subject = open_subject(values.run, edits=values.edit)
    for warning in () if values.quiet else subject.warnings:
        say(f"warning: {warning}")
    _, examples = own_split(subject, "val", values.data)
    path = Path(values.out) if values.out else subject.run.path / "export" / FORMATS[values.to]
    if values.to == "onnx":
        from convsmith.deploy.onnx import export_onnx

        export = export_onnx(subject, examples, path, values.tolerance)
    elif values.to == "bundle":
        from convsmith.deploy.bundle import export_bundle

        export = export_bundle(subject, examples, path)
    else:
        from convsmith.deploy import exchange

        export = exchange.export_weights(subject, examples, values.to, path, values.tolerance)
    if values.json:
        print_json(export.to_json())
    elif values.to == "onnx":
        _print_onnx(export)
        if subject.temperature != 1:
            show(f"  logits are not divided by the run's temperature {subject.temperature:.4g}, which the metadata has")
    elif values.to == "bundle":
        _print_bundle(export)
    else:
        _print_weights(export)
    return 0


def _print_onnx(export: Any) -> None:
    show(f"{export.path}  {size(export.bytes)}, ONNX opset {export.opset}, free batch size")
    for c in export.comparisons:
        show(f"  batch {c.batch}: {_compared(c)}")
    show(f"  checked with ONNX Runtime on validation images; tolerance {export.tolerance:.0e}")


def _print_bundle(export: Any) -> None:
    show(f"{export.path}  {size(export.bytes)}, network, {many(export.tensors, 'tensor')}, classes and preprocessing")
    show(f"  read again and run on {many(export.images, 'validation image')}: the same outputs, bit for bit")
    show(f"next    convsmith predict {export.path} IMAGE...")
    show(f"        convsmith finetune {export.path} --data photos/")


def _print_weights(export: Any) -> None:
    show(f"{export.path}  {size(export.bytes)}, {many(export.tensors, 'tensor')} by {export.library}'s names")
    show(f"  for {export.load}")
    if export.comparison is None:
        show(f"  not compared: {export.library} is not installed; the names come from rules that were read backwards")
    else:
        show(f"  loaded there and run on validation images: {_compared(export.comparison)}")


def _compared(c: Any) -> str:
    return f"largest difference {c.difference:.1e} of the largest output, {c.same_class}/{c.images} same class"
