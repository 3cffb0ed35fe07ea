"""Several runs in one folder: what is finished stays, what was interrupted goes on, and all are summed up."""
