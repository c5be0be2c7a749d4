"""Which alignment to take: a rule, what it gains where it was not chosen, and guards that need no labels."""
