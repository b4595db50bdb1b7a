"""Run the command line from a checkout: `python cli.py profile ...`."""

from qglow.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
