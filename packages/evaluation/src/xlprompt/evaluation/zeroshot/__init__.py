"""The untouched backbone scored by label words, as EleutherAI's lm-evaluation-harness does."""
