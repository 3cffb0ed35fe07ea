"""From a run to an answer: predictions on files, and exports that are checked against the network they came from."""
