"""What each role may do."""

import pytest

from shared.kernel.tenancy import PERMISSIONS, STAFF, Caller, Role


def test_every_role_says_what_it_may() -> None:
    assert PERMISSIONS.keys() == set(Role)


def test_services_may_nothing_a_person_may() -> None:
    assert PERMISSIONS[Role.SERVICE] == frozenset()


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.SUPER_ADMIN}))
def test_only_the_platforms_admin_makes_clinics(role: Role) -> None:
    assert not Caller("x", role, None).may("clinics:write")


@pytest.mark.parametrize("role", sorted(set(Role) - STAFF))
def test_plans_are_set_by_staff_alone(role: Role) -> None:
    assert not Caller("x", role, None).may("plans:write")


@pytest.mark.parametrize(("role", "staff"), [(Role.PATIENT, False), (Role.SUPPORT_STAFF, True)])
def test_patients_are_no_staff(role: Role, staff: bool) -> None:
    assert Caller("x", role, None).is_staff is staff
