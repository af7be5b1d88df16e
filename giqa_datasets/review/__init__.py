"""Rounds in which experts adjust and answer the samples of a data set folder (protocol section 6)."""
