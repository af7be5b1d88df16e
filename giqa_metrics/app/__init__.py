"""The demo app: a photograph, a model's answer about it, and the boxes that the answer names."""
