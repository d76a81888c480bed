"""Networks, as functions that build Keras models."""
