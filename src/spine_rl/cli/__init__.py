"""The command `spine`: options in, results or one line about a mistake out."""
