"""The console of the local cloud: one page and the JSON API behind it."""

from emulators.console.api import Console

__all__ = ["Console"]
