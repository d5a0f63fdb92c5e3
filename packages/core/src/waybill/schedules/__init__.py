"""Recurrences: what a schedule says, where its state is kept, and how each of its instants is fired once."""
