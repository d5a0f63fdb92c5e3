"""The running side: from a delivery to its fate."""
