"""Metrics of poses, tracks and boxes. NumPy only."""
