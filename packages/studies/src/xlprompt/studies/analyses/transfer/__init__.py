"""From which language to which a trained model transfers."""
