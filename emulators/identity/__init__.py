"""Identity Platform (Firebase Authentication) of the local cloud."""

from emulators.identity.engine import Identity

__all__ = ["Identity"]
