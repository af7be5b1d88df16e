"""Publishing to the Hub: `remote` reads a repo, `hub` makes one commit, `dataset` lists a data set folder's files."""
