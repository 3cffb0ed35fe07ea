"""Data sets as they are stored; `open_source` is the way in."""

from convsmith.data.sources.opening import KNOWN, describe, open_path, open_source, recognise
from convsmith.data.sources.source import Source

__all__ = ["KNOWN", "Source", "describe", "open_path", "open_source", "recognise"]
