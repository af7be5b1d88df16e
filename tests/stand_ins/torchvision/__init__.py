"""What transformers takes from torchvision for images, by torch's own functions; for tests, where it is missing.

The real one beside a CPU build of torch needs a CPU build of its own. Videos are not read: `io` is empty.
"""

__version__ = "0.0"
io = None
