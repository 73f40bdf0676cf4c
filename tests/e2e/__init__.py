"""Real clients and real processes: what a sandbox runs, against the served proxy and a provider on loopback."""
