"""One file per experiment: <system>_<backbone>_<dataset>.py, each with a get_config()."""
