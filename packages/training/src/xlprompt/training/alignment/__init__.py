"""Alignment by unlabelled text: moments, their file, and the loss that is trained in."""
