"""Who is calling: people by ID token, Google's services by OIDC token."""

from werkzeug.datastructures import Headers

from shared.kernel.errors import Forbidden, NotFound, Unauthenticated
from shared.kernel.ids import ClinicId
from shared.kernel.tenancy import STAFF, Caller, Role
from shared.platform import identity
from shared.platform.settings import Settings, load
from shared.platform.wiring import function_url


class SenderSettings(Settings):
    google_cloud_project: str


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("missing-token", "Send a token in the Authorization header.")
    return token.strip()


def caller(headers: Headers, clinic_id: ClinicId) -> Caller:
    """The person calling, acting in `clinic_id`.

    Without a role claim somebody is a patient, who may address any clinic and sees only their own
    rows there. Staff belong to the clinic in their token: another one does not exist for them.
    """
    claims = identity.verify_id_token(_bearer(headers))
    role = _role(claims.get("role"))
    if role in STAFF and claims.get("clinicId") != str(clinic_id):
        raise NotFound("not-found", "There is no such clinic.")
    return Caller(claims["sub"], role, clinic_id)


def _role(claim: object) -> Role:
    if claim is None:
        return Role.PATIENT
    try:
        role = Role(str(claim))
    except ValueError:
        raise Forbidden("unknown-role", "The token names a role that does not exist.") from None
    if role is Role.SERVICE:
        raise Forbidden("unknown-role", "Services do not call with a person's token.")
    return role


def require(person: Caller, permission: str) -> None:
    """Raise `Forbidden` unless the caller's role has the permission."""
    if not person.may(permission):
        raise Forbidden("forbidden", f"This needs the permission {permission}.")


def require_service(headers: Headers, function: str, kind: str) -> None:
    """Raise `Unauthenticated` unless our invoker of `kind` calls `function`.

    `kind` is `pubsub`, `tasks`, `scheduler` or `operator`: each is a service account of its own.
    """
    project = load(SenderSettings).google_cloud_project
    sender = f"{kind}-invoker@{project}.iam.gserviceaccount.com"
    identity.verify_service_token(_bearer(headers), function_url(function), sender)
