"""`python -m giqa_metrics.cli` is the giqa command."""

from giqa_metrics.cli import main


main()
