"""`convsmith reproduce`."""
