"""A run's folder: what lies in it, how it is written and read, and on which machine it was made."""
