"""Where runs err, as tables: of one run for the terminal, and of a study for its report."""
