"""Public checkpoints to our weights."""
