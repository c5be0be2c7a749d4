"""Methods compared over tasks, languages and seeds: counts, statistics, verdicts."""
