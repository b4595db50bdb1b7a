"""The command line: one sub-command a module.

Exit 0 done, 1 the work failed, 2 bad usage or bad input, 130 interrupted, 143 asked to end (SIGTERM); never a
traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

from .. import __version__
from ..errors import LONGEST, AccuracyError, QGlowError, cause_of, one_line
from ..limits import limited
from .options import CommandsHelp, OptionsHelp, Parser, size, whole_number
from .stopping import Stopping, drop_output
from .streams import plain_streams

COMMANDS = {
    "profile": "record the range of every tensor on real inputs",
    "quantize": "make an int8 bundle of a model and its profile",
    "run": "run a bundle on data",
    "report": "say what int8 cost against float, layer by layer",
    "bench": "time a bundle beside other runtimes",
    "diff": "find the first layer that goes wrong",
    "export": "write a bundle as standard ONNX QDQ, for any other runtime",
    "inspect": "show any model, profile or bundle as text",
    "tune": "measure how this machine computes products best, and keep that",
    "kernels": "build, list or clear the compiled kernels",
    "completion": "print what completes commands and options in bash, zsh or fish",
    "demo": "all of it on the small model that the repository carries",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    stopping = Stopping(final=arguments is None)
    try:
        with stopping:
            return _run(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:  # NOTE: whoever reads has seen enough (| head)
        drop_output()
        return 0
    except AccuracyError as error:
        return _fail(error, 1)
    except (QGlowError, OSError, MemoryError) as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        stopping.signal = stopping.signal or signal.SIGINT
    except Exception as error:
        return _fail(error, 1)
    print("qglow: stopped", file=sys.stderr)
    return 128 + stopping.signal


def build_parser(wanted: str | None = None) -> Parser:
    """The parser of all commands. wanted: the one whose options are needed, None for all of them."""
    parser = Parser(prog="qglow", description="int8 neural networks on CPUs", formatter_class=CommandsHelp)
    parser.add_argument("--version", action="version", version=f"qglow {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(name, help=summary, formatter_class=OptionsHelp)
        if wanted in (name, None):  # NOTE: the other commands' modules are not imported: start-up stays short
            module = import_module(f"qglow.commands.{name}")
            sub.description, sub.epilog = summary, module.EXAMPLES
            sub.add_argument("--quiet", action="store_true", help="print results only")
            sub.add_argument(
                "--max-memory", type=size, metavar="SIZE", help="such as 4G: what the command may ask for at once"
            )
            sub.add_argument(
                "--max-work", type=whole_number, metavar="N", help="what a model may repeat, in units of about 10 us"
            )
            module.add_arguments(sub)
    return parser


def _run(given: list[str]) -> int:
    wanted = next((a for a in given if not a.startswith("-")), "")
    parser = build_parser(wanted)
    parser.command = wanted if wanted in COMMANDS else ""
    if not given:
        parser.print_help()
        sys.stdout.flush()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # NOTE: a terminal without the characters of a table shows others
    options = parser.parse_args(given)
    with plain_streams(LONGEST), limited(options.max_memory, options.max_work):
        code = int(import_module(f"qglow.commands.{options.command}").run(options))
        sys.stdout.flush()
    return code


def _fail(error: Exception, code: int) -> int:
    if isinstance(error, OSError):
        try:
            sys.stdout.flush()
        except OSError:  # NOTE: what is left of the output has no place either: Python would end with 120
            drop_output()
    if os.environ.get("QGLOW_DEBUG"):
        raise error
    said = str(error)
    if isinstance(error, (OSError, MemoryError)):
        file = getattr(error, "filename", None)
        said = f"{file}: {cause_of(error) or said}" if file else cause_of(error) or said
    elif not isinstance(error, QGlowError):
        said = f"internal error, please report it (QGLOW_DEBUG=1 shows where): {type(error).__name__}: {said}"
    print(one_line(f"qglow: {said}"), file=sys.stderr)
    return code
