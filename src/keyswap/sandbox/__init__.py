"""What a sandbox is given: variables, never keys."""
