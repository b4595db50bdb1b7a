"""The bundle file, the session, and how a graph runs."""

from .bundle import Bundle, load
from .session import InferenceSession

__all__ = ["Bundle", "InferenceSession", "load"]
