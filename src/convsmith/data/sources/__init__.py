"""Data sets as they are stored; `open_source` of `opening.py` is the way in."""
