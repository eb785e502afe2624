"""Fixtures of the functions' tests."""

from collections.abc import Iterator

import pytest

from tests.conftest import House
from tests.functions.notification_desk import Desk, fresh, listening


@pytest.fixture
def desk(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The notification agent with two ways to send an SMS, hearing the providers' webhooks."""
    from functions.notification_agent.main import agent

    ground = house.cloud.cloud.ground
    monkeypatch.setenv("TWILIO_BACKUP_SERVICE_SID", "MG" + "1".zfill(32))
    with listening(house) as address:
        monkeypatch.setenv("PUBLIC_WEBHOOKS_URL", address)
        monkeypatch.setitem(ground.settings, "webhooks", address)
        fresh(agent)
        yield Desk(house)
        house.cloud.heal()
        house.cloud.advance(seconds=30)
    fresh(agent)
