"""Trained models that answer requests: as an MLflow model, and many of them behind one HTTP server."""
