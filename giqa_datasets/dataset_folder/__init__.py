"""One data set folder: its columns, shards, card and provenance; it knows no benchmark."""
