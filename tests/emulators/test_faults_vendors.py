"""A vendor's refusals raise in its own SDK what they raise in production."""

from collections.abc import Iterator
from typing import Any

import firebase_admin
import google.auth.credentials
import httpx
import pytest
from chargebee.api_error import OperationFailedError
from firebase_admin import credentials, exceptions, messaging
from python_http_client.exceptions import (  # type: ignore[import-untyped, unused-ignore]
    InternalServerError,
    TooManyRequestsError,
)
from sendgrid import SendGridAPIClient
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from urllib3.util import Retry

from emulators.cloud import Options
from emulators.parts import VENDORS
from emulators.running import RunningCloud, running
from tests.emulators.vendor_chargebee_site import client

REFUSALS = pytest.mark.parametrize(("kind", "status"), [("429", 429), ("error", 500)])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    options = Options(folder, product=False, throwaway=True, in_memory=True)
    with running(options, frozenset(VENDORS)) as cloud:
        yield cloud


@REFUSALS
def test_twilio(cloud: RunningCloud, kind: str, status: int) -> None:
    account = Client(cloud.env["TWILIO_ACCOUNT_SID"], cloud.env["TWILIO_AUTH_TOKEN"])
    account.api.base_url = cloud.env["TWILIO_URL"]
    with cloud.fault("twilio", kind), pytest.raises(TwilioRestException) as caught:
        account.messages.create(to="+4915900000001", from_=cloud.env["TWILIO_NUMBER"], body="x")
    assert (caught.value.status, caught.value.code) == (status, 20000 + status)
    account.http_client.session.close()


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("429", TooManyRequestsError, "too many requests"),
        ("error", InternalServerError, "internal server error"),
    ],
)
def test_sendgrid(cloud: RunningCloud, kind: str, error: type[Any], message: str) -> None:
    account = SendGridAPIClient(cloud.env["SENDGRID_API_KEY"], host=cloud.env["SENDGRID_URL"])
    with cloud.fault("sendgrid", kind), pytest.raises(error) as caught:
        account.client.mail.send.post(request_body={})
    assert caught.value.to_dict["errors"] == [{"field": None, "message": message}]


@REFUSALS
def test_chargebee(cloud: RunningCloud, kind: str, status: int) -> None:
    site = client(int(cloud.env["CHARGEBEE_URL"].rpartition(":")[2]))
    site.env.api_key = cloud.env["CHARGEBEE_API_KEY"]
    with (
        cloud.fault("chargebee", kind),
        pytest.raises(OperationFailedError) as caught,
    ):
        site.Customer.retrieve("c1")
    assert caught.value.http_status_code == status


@REFUSALS
def test_zendesk(cloud: RunningCloud, kind: str, status: int) -> None:
    with cloud.fault("zendesk", kind):
        answer = httpx.get(f"{cloud.env['ZENDESK_URL']}/api/v2/tickets")
    assert answer.status_code == status
    if status == 429:
        assert answer.text == "Number of allowed API requests per minute exceeded"
        assert int(answer.headers["Retry-After"]) > 0
    else:
        assert answer.json()["error"] == "InternalServerError"


@REFUSALS
def test_iterable(cloud: RunningCloud, kind: str, status: int) -> None:
    with cloud.fault("iterable", kind):
        answer = httpx.post(f"{cloud.env['ITERABLE_URL']}/api/events/track", json={})
    assert answer.status_code == status
    if status == 429:
        assert answer.text == "Rate limit exceeded. Please try again later."
    else:
        assert answer.json().keys() == {"msg", "code", "params"}


class _Credentials(google.auth.credentials.Credentials):
    def refresh(self, request: Any) -> None:
        self.token = "local"


class _Credential(credentials.Base):  # type: ignore[misc, unused-ignore]
    def get_credential(self) -> _Credentials:
        return _Credentials()  # type: ignore[no-untyped-call, unused-ignore]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("429", messaging.QuotaExceededError), ("error", exceptions.InternalError)],
)
def test_fcm(
    cloud: RunningCloud, kind: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{cloud.env['FCM_URL']}/v1/projects/{{0}}/messages:send"
    monkeypatch.setattr(messaging._MessagingService, "FCM_URL", url)
    app = firebase_admin.initialize_app(_Credential(), {"projectId": "shop"}, f"faults-{kind}")
    for adapter in messaging._get_messaging_service(app)._client.session.adapters.values():
        adapter.max_retries = Retry(0)  # the SDK's own wait for seconds
    with cloud.fault("fcm", kind), pytest.raises(error):
        messaging.send(messaging.Message(fid="installation"), app=app)
    messaging._get_messaging_service(app)._client.close()
    firebase_admin.delete_app(app)
