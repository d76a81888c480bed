"""Annotations by a teacher: the poses that a model finds in pictures and videos, as a dataset."""
