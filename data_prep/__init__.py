"""Turns published datasets into TFRecord files that `tfpose.data` reads."""
