"""What was built, to the Hub: `remote` looks, `hub` makes one commit, `dataset` says what of a folder goes there."""
