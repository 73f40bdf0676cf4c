"""YAML as text: from bytes to nodes that know their line and column, and back to one line. Nothing is guessed."""
