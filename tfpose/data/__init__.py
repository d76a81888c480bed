"""Records, augmentation and input pipelines."""
