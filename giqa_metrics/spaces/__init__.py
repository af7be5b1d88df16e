"""What `evaluate.load` loads: one thin script per metric, with its card."""
