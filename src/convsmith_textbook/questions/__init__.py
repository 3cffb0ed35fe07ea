"""Questions that a handful of small runs answer: what is trained, in one folder, and the table and picture of it."""
