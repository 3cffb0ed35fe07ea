"""Weights of other libraries, and edits that carry weights."""
