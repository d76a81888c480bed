"""Training: one loop for every system of the library, its optimisation, checkpoints and progress."""
