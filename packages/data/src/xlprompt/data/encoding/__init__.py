"""From a task's examples to batches: encoding, its cache, mixtures of languages, batches."""
