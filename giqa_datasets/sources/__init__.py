"""Upstream sets, one file each: where photographs and their descriptions come from."""
