"""Measurements beside other runtimes: `python -m bench.peers`."""
