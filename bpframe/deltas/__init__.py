"""What the deltas tell of single examples and of curvature."""
