"""SLEAP labels."""
