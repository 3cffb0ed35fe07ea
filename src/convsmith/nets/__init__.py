"""What a network is: a tree of typed operators that can be read, priced, edited and built.

`build.py`, `layers.py`, `init.py` and `pretrained.py` import torch; every other file here is free of it.
"""
