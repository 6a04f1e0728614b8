"""The books: double entry, positions, equity, and the archive of the tape."""
