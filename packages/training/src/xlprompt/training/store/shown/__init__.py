"""How runs look in MLflow's UI: who began them by which command, their notes, and the columns of the list."""
