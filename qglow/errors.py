"""What a user can cause: every error here is one clear line that says what, where and what to do."""

from __future__ import annotations

import errno
import re

LONGEST = 480  # characters of an error line
# What a terminal acts on instead of showing it: control characters, marks that turn the direction of text, halves of
# surrogate pairs.
# compiled when there is an error
_CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"


def plain(text: str) -> str:
    """The text with escapes such as `\\x1b` for what a terminal would act on; tabs and ends of lines stay."""
    return re.sub(_CONTROLS, lambda m: m.group().encode("unicode_escape").decode(), text)


def shortened(text: str, most: int = LONGEST) -> str:
    """At most so many characters: of a longer text the beginning and the end, for what to do about it often stands
    there."""
    tail = most // 3
    return text if len(text) <= most else f"{text[: most - tail - 5]} ... {text[-tail:]}"


def one_line(text: str, most: int = LONGEST) -> str:
    """The text as one line of at most so many characters that a terminal shows and does not act on."""
    return shortened(plain(" ".join(text.split())), most)


def around(text: str, at: int, most: int = 120) -> str:
    """At most about so many characters of a text as one line: those around a place in it."""
    first = min(max(0, at - most // 2), max(0, len(text) - most))
    last = first + most
    return f"{'... ' if first else ''}{one_line(text[first:last], 6 * most)}{' ...' if last < len(text) else ''}"


def in_one_line(error: BaseException, most: int = 160) -> str:
    """What another library's exception says, for the middle of a line: at most so many characters, its type where it
    says nothing."""
    return one_line(str(error), most) or type(error).__name__


def cause_of(error: BaseException) -> str | None:
    """What the system lacked, where that is what an exception is of; None where it is of something else."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return "there is not enough memory; close other programs, or give this one more"
    if number == errno.EMFILE:
        return "this process has too many open files; close some, or raise the limit (ulimit -n)"
    if number == errno.ENFILE:
        return "the system has too many open files; close some"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return None


class QGlowError(Exception):
    """Base of every error that a user can cause; the command line prints it as one line and exits with code 2.

    Its message is safe to print: names in it may come from a stranger's file, so control characters are escaped, and it
    is cut to `longest` characters.
    """

    longest = LONGEST

    def __init__(self, message: str = "", *others: object) -> None:
        super().__init__(shortened(plain(str(message)), self.longest), *others)


class ModelError(QGlowError):
    """The ONNX model cannot be read, is not valid, or asks for what cannot be."""


class DataError(QGlowError):
    """The calibration or evaluation data is missing, malformed, or does not fit the model's inputs."""


class ProfileError(QGlowError):
    """A profile file is malformed, or was recorded on another model."""


class ConfigError(QGlowError):
    """A configuration file or option has an unknown field or a value that is out of range."""


class BundleError(QGlowError):
    """A bundle file is malformed, truncated or fails verification."""


class OutputError(QGlowError):
    """A file that was asked for cannot be written."""


class InputError(QGlowError):
    """An array given to a session has the wrong name, dtype or shape."""


class KernelError(QGlowError):
    """A kernel library cannot be built or loaded, or the CPU lacks the instruction set asked for."""


class AccuracyError(QGlowError):
    """Quantization ran, but its result misses what was asked; the command line exits with code 1."""


class DisagreementError(QGlowError):
    """qglow and an independent engine compute different values of a float model: a defect of qglow, found before it
    does harm."""


class VerifyError(QGlowError):
    """A graph or an instruction program breaks an invariant; the message names every broken one."""

    longest = 10 * LONGEST


class LimitError(QGlowError):
    """More memory or work was asked for than the limits allow; nothing of it was done. Also where the system has no
    more memory."""
