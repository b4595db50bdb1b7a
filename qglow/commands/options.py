"""What options may hold: types for argparse that say what was expected, and the parser that says it in one line."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ConfigError
from ..limits import bytes_of

_UNKNOWN = "unrecognized arguments: "


class CommandsHelp(argparse.RawTextHelpFormatter):
    """A line a command; argparse reckons with the width of the options alone."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 14


class OptionsHelp(argparse.RawDescriptionHelpFormatter):
    """A line an option where the terminal has room for it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return f"--[no-]{action.option_strings[0][2:]}"
        if action.option_strings and action.nargs != 0:  # the value once, behind the last name
            value = self._format_args(action, self._get_default_metavar_for_optional(action))
            return f"{', '.join(action.option_strings)} {value}"
        return super()._format_action_invocation(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises ConfigError, one line, where argparse prints its usage and exits."""

    command = ""  # whose arguments are parsed, where one was given

    def error(self, message: str) -> NoReturn:
        said = " ".join(message.split())
        if said.startswith(_UNKNOWN):
            said += _hint(said.removeprefix(_UNKNOWN).split())
        raise ConfigError(f"{said}; see {f'{self.prog} {self.command}'.rstrip()} --help")


def _hint(unknown: Sequence[str]) -> str:
    """What may be meant by arguments that have no place."""
    data = next((word for word in unknown if Path(word).is_dir() or word.endswith(".npz")), None)
    if data:
        return f"; data is given as --data {data}"
    return "; files go side by side, before the options" if all(Path(word).is_file() for word in unknown) else ""


def model_first(files: Sequence[str]) -> list[str]:
    """A model and bundles in either order: the one .onnx file before what ends in .qglow."""
    models = [f for f in files if f.endswith(".onnx")]
    others = [f for f in files if f not in models]
    return models + others if len(models) == 1 and all(f.endswith(".qglow") for f in others) else list(files)


def add_backend(parser: argparse.ArgumentParser) -> None:
    from ..runtime.backends import BACKENDS  # NOTE: commands without this option need nothing of the runtime

    parser.add_argument(
        "--backend", choices=tuple(BACKENDS), default="native",
        help="native: compiled kernels; interpreter: the meaning of each instruction, slow, with the same bits and "
             "without a compiler",
    )  # fmt: skip


def one_of(name: str, known: Sequence[Any]) -> Callable[[str], Any]:
    """The value that is written as the text is. name: in the message where there is none."""

    def read(text: str) -> Any:
        for value in known:
            if str(value) == text:
                return value
        raise argparse.ArgumentTypeError(f"{name} must be one of {', '.join(map(str, known))}; got {text!r}")

    return read


def add_skip_bad(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out samples that cannot be read or do not fit the model"
    )


def add_dask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dask", metavar="SCHEDULER",
        help="have the workers of this dask scheduler do it: tcp://HOST:PORT, or its --scheduler-file (qglow[dask])",
    )  # fmt: skip


@cache  # once, however often the samples are read
def say_left_out(said: str) -> None:
    print(f"warning: left out: {said}", file=sys.stderr)


def whole_number(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number


def number_or_none(text: str) -> int:
    """A whole number, or 0."""
    return 0 if text == "0" else whole_number(text)


def size(text: str) -> int:
    """A number of bytes, as 512M, 4G."""
    try:
        return bytes_of(text, "size")
    except ConfigError:
        raise argparse.ArgumentTypeError(f"expected a size such as 512M or 4G, got {text!r}") from None


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return number


def above_zero(text: str) -> float:
    """A finite number above 0."""
    number = finite(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def duration(text: str) -> float:
    """Seconds above 0, as 90, 60s, 5m or 1.5h."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    factor = units.get(text[-1:])
    try:
        seconds = float(text if factor is None else text[:-1]) * (factor or 1.0)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a time above 0 such as 60s or 5m, got {text!r}")
    return seconds
