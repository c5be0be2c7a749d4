"""A store that a team shares: a tracking server or database, and copies of the files that it keeps."""
