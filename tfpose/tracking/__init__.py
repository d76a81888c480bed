"""Identities for the people of a video. NumPy and SciPy only."""
