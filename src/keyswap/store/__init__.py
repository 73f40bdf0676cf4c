"""What outlives the process: rows of sessions, and the state directory with its key."""
