"""What a network is: a tree of typed operators that can be read, priced, edited and built.

Only `modules/` and `weights/` (but for `weights/renaming.py`) import torch.
"""
