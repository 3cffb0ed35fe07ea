"""What a network is: a tree of typed operators that can be read, priced, edited and built.

`build.py`, `carry.py`, `init.py`, `layers.py`, `measure.py`, `name_map.py`, `peers.py` and `pretrained.py` import
torch; every other file here is free of it.
"""
