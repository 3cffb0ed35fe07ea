"""What is learned: one file for each task, with its loss, its sums over an evaluation and its result."""
