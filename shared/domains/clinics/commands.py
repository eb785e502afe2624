"""What can be asked of the clinics context; also the bodies of its routes."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, StringConstraints

from shared.kernel.model import Model


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not an IANA time zone") from None


class SaveClinic(Model):
    """A clinic's name, and the IANA time zone in which its days begin."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    time_zone: Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
