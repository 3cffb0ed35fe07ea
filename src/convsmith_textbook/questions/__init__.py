"""Questions that a few small runs answer: their members, tables and pictures."""
