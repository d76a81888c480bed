"""Public checkpoints as work folders of this library: weights, description, config."""
