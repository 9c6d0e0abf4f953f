"""`python -m threadd` is `threadd`."""

import sys


def main() -> None:
    """Run the command line; a health check without the import of all of it."""
    if sys.argv[1:2] == ["health"]:
        from threadd.health_command import health  # noqa: PLC0415

        health(sys.argv[2:], prog_name="threadd health")
    else:
        from threadd.cli import main as run  # noqa: PLC0415

        run()


if __name__ == "__main__":
    main()
