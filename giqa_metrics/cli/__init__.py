"""The `giqa` command: a file for each verb, whose heavy imports stay inside its functions; nothing else prints."""

from giqa_metrics.cli.command import commands, main


__all__ = ["commands", "main"]
