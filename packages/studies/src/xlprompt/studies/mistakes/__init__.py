"""Where runs err, from the predictions that they have stored: read, compared, and laid out as tables."""
