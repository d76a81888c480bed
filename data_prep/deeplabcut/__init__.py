"""DeepLabCut labels."""
