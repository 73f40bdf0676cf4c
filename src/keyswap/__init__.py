"""keyswap: a forward proxy that swaps placeholders for real API keys on the way out of a sandbox."""

__version__ = "0.1.0"
