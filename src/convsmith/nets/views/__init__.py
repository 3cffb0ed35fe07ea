"""What people are shown of a network: stages, drawings, differences, a review."""
