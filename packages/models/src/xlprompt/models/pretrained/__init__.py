"""Pretrained models: finding one, examining it, and loading it as a backbone."""
