"""Reads of the clinics context."""

from pydantic import BaseModel

from shared.kernel.ids import ClinicId


class ClinicView(BaseModel):
    """A clinic."""

    id: ClinicId
    name: str
    time_zone: str
