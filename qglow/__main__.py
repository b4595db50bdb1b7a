"""`python -m qglow` is the command `qglow`."""

try:
    from .commands.main import main  # NOTE: an interrupt while this is imported ends quietly too

    code = main()
except KeyboardInterrupt:  # NOTE: before the command had begun
    code = 130
raise SystemExit(code)
