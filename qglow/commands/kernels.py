"""qglow kernels: build, list or clear the compiled kernels."""

from __future__ import annotations

import argparse
import os

from ..errors import ConfigError
from ..kernels import objects
from ..kernels.cache import cache_folder
from ..targets import HOST, TARGETS, choose

EXAMPLES = """examples:
  qglow kernels build               for this CPU
  qglow kernels build --isa avx2    for another one
  qglow kernels build --all
  qglow kernels list
  qglow kernels clear               removes what is in the cache

The cache is QGLOW_CACHE_DIR, or qglow in the user's cache directory. An
installed wheel brings its own and needs none.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("build", "list", "clear"))
    parser.add_argument(
        "--isa",
        choices=tuple(TARGETS),
        metavar="ISA",
        help=f"build for this instruction set: {', '.join(TARGETS)} (default: the best that this CPU has)",
    )
    parser.add_argument("--all", action="store_true", help="build for every instruction set")


def run(options: argparse.Namespace) -> int:
    if options.action != "build" and (options.isa or options.all):
        raise ConfigError(f"--isa and --all belong to `qglow kernels build`, not to {options.action}")
    if options.action == "build":
        for isa, emulated in _wanted(options):
            there = objects.find(isa, emulated)
            print(f"{there} (was there)" if there else objects.build_into_cache(isa, emulated, options.quiet))
    elif options.action == "clear":
        files, size = objects.clear()
        print(f"removed {files} file{'' if files == 1 else 's'}, {size / 1024:.0f} KiB, from {cache_folder()}")
    else:
        for line in objects.listing():
            print(line)
    return 0


def _wanted(options: argparse.Namespace) -> list[tuple[str, bool]]:
    """(instruction set, emulated). Objects are never for the host, so that any set can be built on any machine."""
    if options.all and options.isa:
        raise ConfigError("give either --isa or --all")
    emulate = os.environ.get("QGLOW_EMULATE") == "1"
    if options.isa:
        return [(options.isa, emulate)]
    if options.all:  # NOTE: another architecture's are compiled where they are asked for by name
        return [(row.name, emulate) for row in TARGETS.values() if emulate or row.architecture == HOST]
    isa, emulated = choose()
    return [(isa.name, emulated)]
