"""Whatever goes wrong leaves as a problem document (RFC 9457) that says nothing it must not."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from shared.kernel import errors
from shared.kernel.tenancy import Role
from shared.kernel.work import Idle, Work
from shared.platform.telemetry import logs
from shared.runtime.agent import Agent
from tests.conftest import BERLIN, House

URN = "urn:clinicloop:problem:"
FIELDS = {"type", "title", "status", "detail"}


def problem(answer: TestResponse) -> dict[str, Any]:
    """The problem an answer is, checked for its shape."""
    assert answer.content_type == "application/problem+json"
    body: dict[str, Any] = json.loads(answer.data)
    assert FIELDS <= body.keys() <= FIELDS | {"errors"}
    assert body["status"] == answer.status_code
    assert body["type"].startswith(URN)
    return body


def failing(house: House, error: Exception, **headers: str) -> TestResponse:
    """The answer of a function in which this error happens."""
    agent = Agent("probe")

    @agent.cron("* * * * *")
    def probe_fails(_: Work) -> Idle | None:
        raise error

    house.serve(agent)
    return house.trigger("probe", "/crons/probe_fails", "scheduler", b"", **headers)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Invalid("c", "d"), 400),
        (errors.Unauthenticated("c", "d"), 401),
        (errors.Forbidden("c", "d"), 403),
        (errors.NotFound("c", "d"), 404),
        (errors.Conflict("c", "d"), 409),
        (errors.RuleViolated("c", "d"), 422),
        (errors.TooMany("c", "d", 30), 429),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_domain_error_becomes_its_status(house: House, error: Exception, status: int) -> None:
    found = problem(failing(house, error))
    assert (found["status"], found["type"], found["detail"]) == (status, f"{URN}c", "d")


def test_who_must_slow_down_is_told_for_how_long(house: House) -> None:
    answer = failing(house, errors.TooMany("c", "d", 30))
    assert answer.headers["Retry-After"] == "30"


def test_who_must_sign_in_is_told_how(house: House) -> None:
    answer = failing(house, errors.Unauthenticated("c", "d"))
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("error", [errors.VendorUnavailable("v", "r"), OSError("secret")])
def test_what_passes_is_tried_again(house: House, error: Exception) -> None:
    assert problem(failing(house, error))["status"] == 503


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What the functions logged meanwhile."""
    logs._logger.cache_clear()
    yield lambda: capsys.readouterr().err
    logs._logger.cache_clear()


def test_an_unexpected_error_says_nothing_of_itself(
    house: House, logged: Callable[[], str]
) -> None:
    answer = failing(house, ValueError("Ada Example"))
    assert problem(answer)["type"] == f"{URN}internal"
    assert "Ada" not in answer.text
    (line,) = logged().splitlines()
    entry = json.loads(line)
    assert (entry["message"], entry["error"]) == ("unhandled", "ValueError")
    assert "Ada" not in line


def test_an_unexpected_error_is_reported_by_type_and_place(
    house: House, logged: Callable[[], str]
) -> None:
    failing(house, ValueError("Ada Example"))
    entry = json.loads(logged())
    assert entry["@type"].endswith("ReportedErrorEvent")
    assert entry["serviceContext"]["service"] == entry["function"]
    first, *frames, last = entry["stack_trace"].splitlines()
    assert (first, last) == ("Traceback (most recent call last):", "ValueError")
    assert f'"{__file__}"' in frames[-1]


def test_a_line_names_the_trace_of_its_request(house: House, logged: Callable[[], str]) -> None:
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    failing(house, ValueError("x"), traceparent=f"00-{trace}-{caller}-01")
    entry = json.loads(logged())
    project = house.cloud.env["GOOGLE_CLOUD_PROJECT"]
    assert entry["logging.googleapis.com/trace"] == f"projects/{project}/traces/{trace}"
    assert entry["logging.googleapis.com/trace_sampled"] is True
    assert len(entry["logging.googleapis.com/spanId"]) == 16
    assert entry["logging.googleapis.com/spanId"] != caller


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/events"), ("POST", "/"), ("POST", "/nothing"), ("POST", "/healthz")],
)
def test_an_unknown_trigger_is_not_found(house: House, method: str, path: str) -> None:
    answer = house.client("contract_agent").open(path, method=method)
    assert problem(answer)["status"] == 404


@pytest.mark.parametrize("function", ["contract_agent", "portal_api", "webhooks"])
def test_every_kind_of_function_says_that_it_is_well(house: House, function: str) -> None:
    assert house.client(function).get("/healthz").status_code == 200


def test_a_cron_nobody_declared_is_not_found(house: House) -> None:
    assert problem(house.cron("contract_agent", "moon_rises"))["status"] == 404


def test_only_the_relay_takes_what_pubsub_gave_up_on(house: House) -> None:
    answer = house.trigger("contract_agent", "/parked", "pubsub", b"{}")
    assert problem(answer)["status"] == 404


@pytest.fixture
def admin(house: House) -> str:
    return house.id_token("admin", Role.CLINIC_ADMIN, BERLIN)


def test_an_unknown_path_is_a_problem(house: House, admin: str) -> None:
    assert problem(house.portal("GET", "/v1/nothing", admin))["status"] == 404


def test_a_wrong_method_is_told_the_right_ones(house: House, admin: str) -> None:
    answer = house.portal("DELETE", "/plans", admin)
    assert problem(answer)["status"] == 405
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/v1/clinics/berlin/plans", "/v1/clinics/1/plans"])
def test_a_clinic_that_cannot_be_is_not_found(house: House, admin: str, path: str) -> None:
    assert problem(house.portal("GET", path, admin))["status"] == 404


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"\xff", "application/json"),
        (b"", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (b"<a/>", "application/xml"),
    ],
)
def test_an_unreadable_body_is_a_problem(house: House, admin: str, body: bytes, kind: str) -> None:
    answer = house.client("portal_api").put(
        f"/v1/clinics/{BERLIN}/plans/p",
        data=body,
        headers={"Authorization": f"Bearer {admin}", "Content-Type": kind},
    )
    assert problem(answer)["status"] in (400, 415)
    assert house.rows("SELECT * FROM contracts.plans") == []


@pytest.mark.parametrize("query", ["?limit=0", "?limit=x", "?after=1", "?colour=red"])
def test_a_query_that_makes_no_sense_names_its_fields(house: House, admin: str, query: str) -> None:
    found = problem(house.portal("GET", f"/contracts{query}", admin))
    assert found["status"] == 400
    assert [one["field"] for one in found["errors"]] == [query.strip("?").partition("=")[0]]


def test_every_answer_forbids_caching_and_sniffing(house: House, admin: str) -> None:
    for answer in (house.portal("GET", "/plans", admin), house.portal("GET", "/plans", None)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Correlation-Id"]
