"""The documentation as a site, by `sphinx-build -W docs PATH` with the extra `docs`; the pages are plain markdown."""

import contextlib
import io
import os
import sys

from sphinx.application import Sphinx

import convsmith
from convsmith.cli import VERBS, main

project = "Convsmith"
author = project_copyright = "The Convsmith developers"
version = release = convsmith.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["build"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of torch and of inner modules have no page here

myst_heading_anchors = 3
myst_enable_extensions = ["fieldlist"]
suppress_warnings = ["misc.highlighting_failure"]

default_role = "code"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "Convsmith"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

# The page of each verb, which gets the verb's options at its end: they cannot fall behind the command.
PAGES = {verb: f"verbs/{verb}" for verb in VERBS} | {
    "recipes": "recipes",
    "data": "data",
    "train": "train",
    "finetune": "finetune",
    "eval": "eval",
    "reproduce": "reproduce",
    "bench": "speed",
}


def add_options(app: Sphinx, page: str, source: list[str]) -> None:
    """Append what `convsmith VERB --help` prints to the page of that verb."""
    for verb, of in PAGES.items():
        if of == page:
            source[0] += f"\n## Options of `{verb}`\n\n```text\n{printed(verb, '--help')}```\n"
    if page == "train":
        source[0] += f"\n## Fields of a recipe\n\n```text\n{printed('train', '--help-all')}```\n"


def printed(*words: str) -> str:
    """What a command prints that only tells."""
    os.environ["COLUMNS"] = "88"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main(words)
    return said.getvalue()


def setup(app: Sphinx) -> None:
    """Connect what is done while the pages are read."""
    sys.argv[0] = "convsmith"
    app.connect("source-read", add_options)
