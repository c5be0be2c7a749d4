"""The kinds of tasks: what an example is, and how it becomes token ids and labels."""
