"""What a run leaves: the MLflow store, checkpoints, training states."""

import os

# Before a module of this folder imports MLflow, which reads this once.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported
# Of a server it prints addresses of runs, two lines for each, where --json must have nothing else.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_PRINT_MODEL_URLS_ON_CREATION", "false")
# Nor may bars of what is fetched from a server stand between the lines of a study or of a report.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# A pooled connection that once met a read-only database stays read-only when the database no longer is. A new
# one for each call costs 2 ms, once in some seconds. What is set for another store's pool does not fit it.
for _name in [name for name in os.environ if name.startswith("MLFLOW_SQLALCHEMYSTORE_")]:
    del os.environ[_name]
os.environ["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"
