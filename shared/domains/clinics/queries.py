"""Reads of the clinics context."""

from shared.kernel.ids import ClinicId
from shared.kernel.model import Model


class ClinicView(Model):
    """A clinic."""

    id: ClinicId
    name: str
    time_zone: str
