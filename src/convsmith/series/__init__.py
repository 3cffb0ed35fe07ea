"""Several runs in one folder: finished runs stay, interrupted runs are resumed, and a summary covers all."""
