"""The `mydata` command."""

from broker.cli import build_program


def main() -> None:
    """Run the command line; the exit code says how it went (broker/cli/failures.py)."""
    build_program()(prog_name="mydata")


if __name__ == "__main__":
    main()
