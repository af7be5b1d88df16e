"""A run: a model over a benchmark, its files, its scores, and what is made of them."""
