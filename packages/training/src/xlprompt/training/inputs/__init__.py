"""What a run begins with: its data, encoded, and its model."""
