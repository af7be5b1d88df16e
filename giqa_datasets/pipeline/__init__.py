"""The annotation pipeline: one stage per file, each an iterator of records to an iterator of records."""
