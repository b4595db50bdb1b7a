"""qglow: an int8 compiler for neural networks on CPUs."""
__version__ = "0.1.0"
