"""Where runs err, from the predictions that they have stored."""
