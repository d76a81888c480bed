"""SavedModels and other forms of trained networks for use without tfpose."""
