"""Plain numbers in, figures and pages out: no torch, no network, no data set."""
