"""The command `spine`: demo, train, eval."""
