"""Gives the people of a video identities. NumPy and SciPy only."""
