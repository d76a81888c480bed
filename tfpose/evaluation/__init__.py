"""Evaluation: scoring, tracking and tuning on files; prediction, scores and reports of a split of records."""
