"""Fuzzing: files that are nearly right, each tried in a process of its own. `tools/fuzz` runs it at length."""
