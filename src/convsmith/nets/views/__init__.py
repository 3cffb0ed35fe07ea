"""Views of a network for people: stages, drawings, differences, a review."""
