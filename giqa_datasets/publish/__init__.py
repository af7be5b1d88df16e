"""What was built, to the Hub: `hub` makes one commit of it, `dataset` says what of a data set folder goes there."""
