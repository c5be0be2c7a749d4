"""The training of the bundled model, xglm-nano."""
