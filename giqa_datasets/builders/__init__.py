"""The data sets that `giqa build` makes."""
