"""What all of the package may use, and what knows nothing of it."""
