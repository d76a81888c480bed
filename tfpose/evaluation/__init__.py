"""The parts of the evaluation program: scoring, tracking and tuning on files, and predicting a split."""
