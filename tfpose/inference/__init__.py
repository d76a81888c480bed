"""Inference, from pictures to poses: detectors, the functions of both systems, and descriptions of their networks."""
