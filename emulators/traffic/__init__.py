"""Seeded, bounded portal traffic on a local cloud, and what it was promised."""

from emulators.traffic.generator import Traffic
from emulators.traffic.ledger import Call, Sent
from emulators.traffic.mix import ROUTES

__all__ = ["ROUTES", "Call", "Sent", "Traffic"]
