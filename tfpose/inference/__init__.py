"""From pictures to poses: the two systems, and the suppression of poses found twice."""
