"""Reading a store: by sqlite itself where the database is a folder's own, or by MLflow."""
