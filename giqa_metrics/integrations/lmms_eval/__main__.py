"""Prints the folder of the tasks, for `--include_path`."""

import sys

from giqa_metrics.integrations.lmms_eval import FOLDER


sys.stdout.write(f"{FOLDER}\n")
