"""Routes of the messages."""
