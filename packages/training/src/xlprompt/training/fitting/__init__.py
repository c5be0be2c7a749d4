"""The training loop and the engines that it drives."""
