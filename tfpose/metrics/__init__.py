"""Evaluation measures. NumPy only."""
