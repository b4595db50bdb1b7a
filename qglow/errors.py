"""What a user can cause: every error here is one clear line that says what, where and what to do."""

from __future__ import annotations


def in_one_line(error: Exception, most: int = 160) -> str:
    """What another library's exception says, for the middle of a line: at most so many characters, its type where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


class QGlowError(Exception):
    """Base of every error that a user can cause; the command line prints it as one line and exits with code 2."""


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
    """qglow and an independent engine compute different values of a float model: a defect of qglow, found before it does harm."""


class VerifyError(QGlowError):
    """A graph or an instruction program breaks an invariant; the message names every broken one."""
