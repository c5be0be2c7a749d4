"""A study's report: which runs it is about, its tables, figures and page."""
