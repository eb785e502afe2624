"""The servers under measurement, ours and the peers'."""
