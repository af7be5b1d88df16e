"""Which box format a model speaks: pictures with known squares, and a reading of its answers in every format."""
