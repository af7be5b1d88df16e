"""Publishing: `remote` reads a repo, `plan` compares, `hub` makes one commit; `dataset` lists a folder's files."""
