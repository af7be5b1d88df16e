"""Recipes before they are trained: what a model would see of the pictures, and learn of the texts."""
