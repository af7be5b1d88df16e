"""Metrics as Spaces, and results in the repos of models; `command` is the verb publish."""
