"""The policy: what may be addressed, by whom, and which credential goes there."""
