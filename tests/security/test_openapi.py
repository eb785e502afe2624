"""Whatever is sent to the portal's API, within its schema or not, is answered as it documents."""

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from functions.portal_api.main import app
from shared.kernel.tenancy import Role
from tests.conftest import BERLIN, House
from tests.functions.test_portal_contracts import CUSTOMER, PLAN

DOCUMENT = Path(__file__).parents[2] / "docs/openapi.json"
CHECKS = [
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
]
CALLERS = ["patient", "staff", "super-admin", "nobody"]
bounded = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


schema = schemathesis.openapi.from_path(DOCUMENT)
schema.app = app


@pytest.fixture(params=CALLERS)
def headers(house: House, request: pytest.FixtureRequest) -> dict[str, str]:
    """What each caller sends; the patient is a customer, and the clinic sells a plan."""
    people = {
        "patient": house.id_token("ada"),
        "staff": house.id_token("staff", Role.CLINIC_ADMIN, BERLIN),
        "super-admin": house.id_token("root", Role.SUPER_ADMIN),
    }
    assert house.portal("PUT", "/plans/p", people["staff"], PLAN).status_code == 200
    assert house.portal("POST", "/customers", people["patient"], CUSTOMER).status_code == 201
    token = people.get(request.param)
    return {"Authorization": f"Bearer {token}"} if token else {}


@schema.parametrize()
@bounded
def test_every_answer_is_as_documented(
    case: schemathesis.Case[Any], headers: dict[str, str]
) -> None:
    case.path_parameters["clinic_id"] = str(BERLIN)
    case.call_and_validate(headers=headers, checks=CHECKS)


def test_problems_are_documented_with_their_content_type() -> None:
    for path in json.loads(DOCUMENT.read_text())["paths"].values():
        for operation in path.values():
            assert list(operation["responses"]["4XX"]["content"]) == ["application/problem+json"]
