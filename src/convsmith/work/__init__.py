"""What is done: prepare, train, evaluate, compare, estimate, tune, transfer."""
