"""The sending side: from a call to a message the broker has."""
