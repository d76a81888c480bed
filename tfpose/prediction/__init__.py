"""Prediction, the library behind `tfpose predict`: pictures and videos in, poses and drawings out."""
