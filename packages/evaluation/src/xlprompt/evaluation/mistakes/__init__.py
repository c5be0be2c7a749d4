"""Where stored predictions err: what is taken for what, against a language, and against another run."""
