"""Training: one loop for every system of the library, its optimization and its progress."""
