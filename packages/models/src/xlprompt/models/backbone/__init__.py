"""Decoder backbones: running one with a prompt in front of the text, and what that takes."""
