"""`python -m keyswap.cli`."""

from keyswap.cli import main

main()
