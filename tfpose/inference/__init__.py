"""From pictures to poses: detectors, the inference functions of both systems, and how their networks are described."""
