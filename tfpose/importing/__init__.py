"""Imports public checkpoints as work folders of this library: weights, settings, config."""
