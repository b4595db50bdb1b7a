"""`python -m qglow` is the command `qglow`."""

from .commands.main import main

raise SystemExit(main())
