"""GIQA's benchmarks and metrics inside other people's evaluation suites."""
