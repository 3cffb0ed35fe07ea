"""Writes `docs/recipes.md`, the table of the built-in recipes: `python docs/recipe_pages.py`."""

from itertools import groupby
from pathlib import Path

from convsmith.recipes.builtin import RECIPES, BuiltIn

PAGE = Path(__file__).with_name("recipes.md")

HEAD = """# Recipes

<!-- written by docs/recipe_pages.py -->

{count} recipes: those of the papers, and some of our own. {run} have a result of ours, on the data that
it names; the others were never run by us. `convsmith recipes` and the first lines of a run say so too. We do not
promise the figures of a paper.

    convsmith recipes
    convsmith recipes '*cifar100*'
    convsmith recipes show resnet110-cifar10

list all recipes, list those that match a pattern, and explain one field by field, with the source of each value.
A recipe is a start: `convsmith train resnet20-cifar10 --lr 0.05 --epochs 20` changes it, `--data` gives other images.

For ImageNet `--data` names a folder with `train/` and `val/`, in each a folder of images for each class. Large batches
fit into less memory in parts: `--optimizer.accumulate 16`.

## Images that grow

`--resize 'progressive(0.7)'` trains on smaller images first: from 0.7 of their side, growing from the first step to
60% of the run, in multiples of 32 pixels; then at full size. The whole form is
`progressive(first, last, start, end, multiple)`, `--resize "progressive(0.5, 1.0, '2ep', '10ep', 4)"`. Batches are
scaled after normalization, by a bilinear filter with antialiasing; a step's size depends on its number alone, so that
a resumed run sees the same sizes. Evaluation always uses full images: with `last` below 1 training ends on smaller
images, as in procedure A3 and FFCV's recipes. If a network does not take a smaller size, an error before training
gives the smallest size that it takes.

    convsmith train resnet20_cifar --data digits --size 32 --resize 'progressive(0.5, multiple=8)'
"""
GROUP = """
## {group}

| recipe | reported by its source | unlike there | run by us |
|---|---|---|---|
"""


def page() -> str:
    """The whole page as Markdown."""
    entries = list(RECIPES.values())
    parts = [HEAD.format(count=len(entries), run=sum(entry.was_run for entry in entries))]
    for group, members in groupby(entries, key=lambda entry: entry.group):
        title = group if group[1:2].isupper() or group.startswith("Image") else group.capitalize()
        parts += [GROUP.format(group=title), *map(_row, members)]
    return "".join(parts)


def _row(entry: BuiltIn) -> str:
    source = f"{entry.paper}: {entry.figure}" if entry.paper else ""
    cells = (
        f"`{entry().name}`: {entry.title}",
        source,
        "; ".join(entry.differs),
        entry.result or "never",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
