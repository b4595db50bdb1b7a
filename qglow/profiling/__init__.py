"""Datasets, observers, the profiling interpreter and the profile file."""

from .dataset import Dataset, Sample, open_dataset
from .interpreter import record
from .observers import Observer
from .profile import Profile

__all__ = ["Dataset", "Observer", "Profile", "Sample", "open_dataset", "record"]
