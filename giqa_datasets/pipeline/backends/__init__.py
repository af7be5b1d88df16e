"""Models behind the pipeline's Protocols, one file each."""
