"""COCO person keypoints, and any other dataset in its layout."""
