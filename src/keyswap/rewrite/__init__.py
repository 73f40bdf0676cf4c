"""What is sent and what comes back: read, searched, filled, stripped and scrubbed as bytes, without I/O."""
