"""What `tfpose.predict` does: pictures and video in, poses and drawings out."""
