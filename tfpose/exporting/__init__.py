"""Exports trained networks as SavedModels and other files that run without tfpose."""
