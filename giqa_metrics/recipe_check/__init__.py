"""A check of recipes before training: the parts of the pictures that a model sees, and of the texts that it learns."""
