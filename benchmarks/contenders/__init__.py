"""One module per contender."""
