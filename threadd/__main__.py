"""`python -m threadd` is `threadd`."""

from threadd.cli import main

main()
