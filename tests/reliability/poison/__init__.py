"""Poison among healthy messages: parked with its reason and its body, and replayed once mended."""
