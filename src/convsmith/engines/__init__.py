"""Ways to run a network that is trained: one file for each engine, their table, the check and the choice."""
