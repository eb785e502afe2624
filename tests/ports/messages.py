"""What the ports of the message providers are tested with."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from shared.domains.notifications.ports import Envelope
from shared.integrations import vendor_call
from shared.kernel.errors import OutcomeUnknown, VendorError, VendorRefused, VendorUnavailable
from shared.kernel.ids import ClinicId, MessageId
from shared.kernel.phi import Phi
from shared.platform import settings

NOWHERE = "http://127.0.0.1:1"
ERRORS: dict[str, type[VendorError]] = {
    "unavailable": VendorUnavailable,
    "refused": VendorRefused,
    "unknown": OutcomeUnknown,
}


@dataclass(frozen=True)
class Inbound:
    """A webhook as the edge hands it on."""

    url: str
    headers: dict[str, str]
    body: bytes


def envelope(to: str, text: str = "Please check the portal.") -> Envelope:
    """A message to be sent."""
    message_id = MessageId.new()
    return Envelope(
        clinic_id=ClinicId.new(),
        message_id=message_id,
        reference=message_id.hex[-10:].upper(),
        to=Phi(to),
        subject="News",
        text=text,
    )


@contextmanager
def fresh() -> Iterator[None]:
    """Settings are read anew and breakers are closed."""
    settings.load.cache_clear()
    vendor_call._ways.clear()
    yield
    settings.load.cache_clear()
    vendor_call._ways.clear()


def fails(kind: str, call: Callable[[], Any], secret: str = "canary") -> VendorError:
    """`call` raises the error of this kind, which does not say `secret`."""
    with pytest.raises(ERRORS[kind]) as raised:
        call()
    assert type(raised.value) is ERRORS[kind]
    assert secret not in str(raised.value)
    return raised.value
