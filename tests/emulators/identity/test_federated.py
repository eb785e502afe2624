"""Signing in with identity providers, whose tokens have to be signed."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.engine import Ground, HttpServer
from emulators.identity import Identity
from tests.emulators.conftest import Loop
from tests.emulators.identity_client import EMAIL, PASSWORD, PROJECT, IdentityClient, refusal

ANN = {"sub": "1234", "email": EMAIL, "email_verified": True, "name": "Ann", "picture": "http://p"}


class ProviderClient(IdentityClient):
    """A person's client that has tokens of identity providers."""

    def token(self, provider: str = "google.com", **claims: Any) -> str:
        """What the stand-in for providers signs."""
        body = {"providerId": provider, **ANN, **claims}
        answer = self.http.post(f"/emulator/v1/projects/{PROJECT}/idTokens", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["idToken"])

    def sign_in_with(self, token: str, provider: str = "google.com", **body: Any) -> Any:
        posted = urlencode({"providerId": provider, "id_token": token})
        return self.call("signInWithIdp", requestUri="http://localhost", postBody=posted, **body)


@pytest.fixture
def client(start_engine: Callable[..., tuple[Identity, int]]) -> Iterator[ProviderClient]:
    client = ProviderClient(start_engine(Identity)[1])
    yield client
    client.http.close()


def test_a_signed_token_signs_up_and_then_in(client: ProviderClient) -> None:
    first = client.sign_in_with(client.token()).json()
    assert first["isNewUser"] is True
    assert json.loads(first["rawUserInfo"])["name"] == "Ann"
    claims = client.claims(first["idToken"])
    assert claims["firebase"] == {
        "identities": {"google.com": ["1234"], "email": [EMAIL]},
        "sign_in_provider": "google.com",
    }
    assert (claims["name"], claims["email_verified"]) == ("Ann", True)
    second = client.sign_in_with(client.token()).json()
    assert second["localId"] == first["localId"]
    assert "isNewUser" not in second


@pytest.mark.parametrize(
    "token",
    [
        json.dumps(ANN),
        jwt.encode({**ANN, "iss": "https://accounts.google.com", "aud": PROJECT}, "", "none"),
        jwt.encode({**ANN, "iss": "https://accounts.google.com"}, "x" * 32, "HS256"),
        "nonsense",
    ],
)
def test_what_is_not_signed_is_refused(client: ProviderClient, token: str) -> None:
    assert refusal(client.sign_in_with(token)).startswith("INVALID_IDP_RESPONSE")


def test_tokens_of_other_kinds_are_no_provider_tokens(client: ProviderClient, loop: Loop) -> None:
    own = client.call("signUp", email=EMAIL, password=PASSWORD).json()["idToken"]
    push = loop.ground.tokens.oidc("agent@example.org", "http://127.0.0.1/push")
    for token in (own, push, client.token("facebook.com")):
        assert refusal(client.sign_in_with(token)).startswith("INVALID_IDP_RESPONSE")


def test_a_token_expires_in_virtual_time(client: ProviderClient, loop: Loop) -> None:
    token = client.token()
    loop.advance(hours=1, seconds=1)
    assert refusal(client.sign_in_with(token)).startswith("INVALID_IDP_RESPONSE")


def test_a_verified_address_joins_its_account(client: ProviderClient) -> None:
    person = client.person(EMAIL)
    signed = client.sign_in_with(client.token()).json()
    assert signed["localId"] == person["localId"]
    assert client.sign_in(EMAIL)["localId"] == person["localId"]


def test_joining_an_unproven_account_removes_its_password(client: ProviderClient) -> None:
    person = client.call("signUp", email=EMAIL, password=PASSWORD).json()
    signed = client.sign_in_with(client.token()).json()
    assert signed["localId"] == person["localId"]
    wrong = client.call("signInWithPassword", email=EMAIL, password=PASSWORD)
    assert refusal(wrong) == "INVALID_LOGIN_CREDENTIALS"


def test_an_unverified_address_needs_confirmation(client: ProviderClient) -> None:
    person = client.person(EMAIL)
    told = client.sign_in_with(client.token(email_verified=False)).json()
    assert told["needConfirmation"] is True
    assert told["localId"] == person["localId"]
    assert "idToken" not in told


def test_a_provider_is_linked_and_unlinked(client: ProviderClient) -> None:
    person = client.call("signUp", email="other@example.org", password=PASSWORD).json()
    linked = client.sign_in_with(client.token(), idToken=person["idToken"]).json()
    assert linked["localId"] == person["localId"]
    account = client.account(person["localId"])
    assert {info["providerId"] for info in account["providerUserInfo"]} == {
        "google.com",
        "password",
    }
    client.call("update", idToken=linked["idToken"], deleteProvider=["google.com"])
    account = client.account(person["localId"])
    assert [info["providerId"] for info in account["providerUserInfo"]] == ["password"]


def test_a_linked_person_is_not_linked_again(client: ProviderClient) -> None:
    client.sign_in_with(client.token())
    other = client.call("signUp").json()
    again = client.sign_in_with(client.token(), idToken=other["idToken"])
    assert refusal(again) == "FEDERATED_USER_ID_ALREADY_LINKED"
    told = client.sign_in_with(
        client.token(), idToken=other["idToken"], returnIdpCredential=True
    ).json()
    assert told["errorMessage"] == "FEDERATED_USER_ID_ALREADY_LINKED"


def test_a_person_cannot_claim_somebody_at_a_provider(client: ProviderClient) -> None:
    person = client.call("signUp").json()
    info = {"providerId": "google.com", "rawId": "1234"}
    answer = client.call("update", idToken=person["idToken"], linkProviderUserInfo=info)
    assert refusal(answer) == "INSUFFICIENT_PERMISSION"


def test_disabled_account_cannot_sign_in_with_a_provider(client: ProviderClient) -> None:
    signed = client.sign_in_with(client.token()).json()
    client.admin("accounts:update", localId=signed["localId"], disableUser=True)
    answer = client.sign_in_with(client.token(), returnIdpCredential=True)
    assert refusal(answer) == "USER_DISABLED"


def test_addresses_may_be_shared_where_the_project_says_so(client: ProviderClient) -> None:
    client.admin(
        "config?updateMask=signIn",
        "PATCH",
        signIn={"email": {"enabled": True}, "allowDuplicateEmails": True},
    )
    person = client.person(EMAIL)
    signed = client.sign_in_with(client.token()).json()
    assert signed["localId"] != person["localId"]
    assert "email" not in client.account(signed["localId"])


def test_a_disabled_provider_is_refused(client: ProviderClient) -> None:
    client.admin("defaultSupportedIdpConfigs?idpId=google.com", clientId="web", enabled=False)
    assert refusal(client.sign_in_with(client.token())) == "OPERATION_NOT_ALLOWED"


def test_attributes_of_a_saml_provider_are_in_the_token(client: ProviderClient) -> None:
    token = client.token("saml.clinic", attributes={"department": "cardiology"})
    posted = urlencode({"providerId": "saml.clinic", "SAMLResponse": token})
    signed = client.call("signInWithIdp", requestUri="http://localhost", postBody=posted).json()
    firebase = client.claims(signed["idToken"])["firebase"]
    assert firebase["sign_in_attributes"] == {"department": "cardiology"}
    assert firebase["sign_in_provider"] == "saml.clinic"


class Issuer:
    """An OpenID provider somewhere else, with a key of its own."""

    name = "issuer"

    def __init__(self, ground: Ground) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = HttpServer(ground, self.name)
        self.address = ""

    async def start(self, port: int = 0) -> int:
        async def discovery(_: web.Request) -> web.Response:
            found = {"issuer": self.address, "jwks_uri": f"{self.address}/keys"}
            return web.json_response(found)

        async def keys(_: web.Request) -> web.Response:
            key = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
            return web.json_response({"keys": [{**key, "kid": "k-1"}]})

        routes = [
            web.get("/.well-known/openid-configuration", discovery),
            web.get("/keys", keys),
        ]
        port = await self._server.start(routes, port)
        self.address = f"http://127.0.0.1:{port}"
        return port

    async def stop(self) -> None:
        await self._server.stop()

    def describe(self) -> dict[str, Any]:
        return {}

    def token(self, now: int, **claims: Any) -> str:
        told = {**ANN, "iss": self.address, "aud": "web", "exp": now + 60, **claims}
        return jwt.encode(told, self.key, "RS256", headers={"kid": "k-1"})


@pytest.fixture
def issuer(start_engine: Callable[..., tuple[Any, int]], client: ProviderClient) -> Issuer:
    made: Issuer = start_engine(Issuer)[0]
    client.admin(
        "oauthIdpConfigs?oauthIdpConfigId=oidc.clinic",
        clientId="web",
        issuer=made.address,
        enabled=True,
    )
    return made


def test_the_configured_issuer_is_believed(
    client: ProviderClient, issuer: Issuer, loop: Loop
) -> None:
    token = issuer.token(int(loop.ground.clock.time()))
    signed = client.sign_in_with(token, "oidc.clinic").json()
    claims = client.claims(signed["idToken"])
    assert claims["firebase"]["identities"]["oidc.clinic"] == ["1234"]


@pytest.mark.parametrize("changed", [{"aud": "other"}, {"iss": "http://x"}, {"exp": 1}])
def test_a_token_of_the_issuer_for_others_is_refused(
    client: ProviderClient, issuer: Issuer, loop: Loop, changed: dict[str, Any]
) -> None:
    token = issuer.token(int(loop.ground.clock.time()), **changed)
    answer = client.sign_in_with(token, "oidc.clinic")
    assert refusal(answer).startswith("INVALID_IDP_RESPONSE")


def test_a_key_the_issuer_does_not_publish_is_refused(
    client: ProviderClient, issuer: Issuer, loop: Loop
) -> None:
    issuer.key, published = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        issuer.key,
    )
    token = issuer.token(int(loop.ground.clock.time()))
    issuer.key = published
    answer = client.sign_in_with(token, "oidc.clinic")
    assert refusal(answer).startswith("INVALID_IDP_RESPONSE")


def test_an_issuer_that_is_gone_is_told_as_a_refusal(
    client: ProviderClient, issuer: Issuer, loop: Loop
) -> None:
    token = issuer.token(int(loop.ground.clock.time()))
    loop.run(issuer.stop())
    answer = client.sign_in_with(token, "oidc.clinic")
    assert "did not answer" in refusal(answer)


def test_a_browser_signs_in_at_the_stand_in(client: ProviderClient) -> None:
    begun = client.call(
        "createAuthUri", providerId="google.com", continueUri="http://localhost/back"
    ).json()
    page = client.http.get(begun["authUri"])
    assert "Sign in with google.com" in page.text
    query = parse_qs(urlsplit(begun["authUri"]).query)
    form = {"email": EMAIL, "name": "Ann", **{name: value[0] for name, value in query.items()}}
    back = client.http.post("/emulator/idp", data=form)
    assert back.status_code == 303
    location = back.headers["location"]
    assert location.startswith("http://localhost/back#")
    signed = client.call("signInWithIdp", requestUri=location, sessionId=begun["sessionId"])
    assert signed.json()["email"] == EMAIL


def test_ways_of_signing_in_are_told_only_without_enumeration_protection(
    client: ProviderClient,
) -> None:
    client.person(EMAIL)
    client.sign_in_with(client.token())
    body = {"identifier": EMAIL, "continueUri": "http://localhost"}
    hidden = client.call("createAuthUri", **body).json()
    assert not {"registered", "signinMethods", "allProviders"} & hidden.keys()
    client.admin("config?updateMask=emailPrivacyConfig", "PATCH", emailPrivacyConfig={})
    told = client.call("createAuthUri", **body).json()
    assert told["registered"] is True
    assert told["signinMethods"] == ["google.com", "password"]
