"""Keypoint R-CNN, the person detector: ResNet-50, ResNet-101 and ResNeXt-101-32x8d with a feature pyramid."""
