"""Work on a recipe or a run: prepare, train, evaluate, compare, estimate, tune, transfer."""
