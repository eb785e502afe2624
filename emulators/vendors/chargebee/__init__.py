"""Chargebee (API v2, product catalog 2.0) for the local cloud."""

from emulators.vendors.chargebee.api import Chargebee

__all__ = ["Chargebee"]
