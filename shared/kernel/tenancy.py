"""Who is calling, and in which clinic."""

from dataclasses import dataclass
from enum import StrEnum

from shared.kernel.ids import ClinicId


class Role(StrEnum):
    """Roles of people and of our own services."""

    SUPER_ADMIN = "SUPER_ADMIN"
    PATIENT = "PATIENT"
    CLINIC_ADMIN = "CLINIC_ADMIN"
    SUPPORT_STAFF = "SUPPORT_STAFF"
    FINANCE_BILLING = "FINANCE_BILLING"
    SERVICE = "SERVICE"


STAFF = frozenset({Role.CLINIC_ADMIN, Role.SUPPORT_STAFF, Role.FINANCE_BILLING})

_CUSTOMER_SELF = frozenset(
    {
        "customers:read",
        "customers:write",
        "plans:read",
        "contracts:read",
        "contracts:write",
        "billing:read",
        "messages:read",
    }
)
PERMISSIONS: dict[Role, frozenset[str]] = {
    Role.SUPER_ADMIN: frozenset({"clinics:write"}),
    Role.PATIENT: _CUSTOMER_SELF,
    Role.CLINIC_ADMIN: _CUSTOMER_SELF | {"plans:write", "operations:read"},
    Role.SUPPORT_STAFF: frozenset({"customers:read", "contracts:read", "messages:read"}),
    Role.FINANCE_BILLING: frozenset({"contracts:read", "billing:read", "operations:read"}),
    Role.SERVICE: frozenset(),
}


@dataclass(frozen=True)
class Caller:
    """An authenticated principal acting in one clinic. `uid` is the identity provider's id."""

    uid: str
    role: Role
    clinic_id: ClinicId | None

    def may(self, permission: str) -> bool:
        return permission in PERMISSIONS[self.role]

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF
