"""GIQA's tasks for lmms-eval, whose `--include_path` takes their folder; the module run as a script prints it."""

from pathlib import Path


FOLDER = Path(__file__).parent
