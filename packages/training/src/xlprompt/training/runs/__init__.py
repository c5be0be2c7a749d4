"""One run from its recipe to its scores: training, evaluation, prediction, and what it costs."""
