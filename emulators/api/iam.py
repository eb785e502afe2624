"""google.iam.v1.IAMPolicy: policies are kept and answered, none is enforced.

Rules: the reference of google.iam.v1. Each service has its own forms of resource names.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2

from emulators.api.refusals import Refused, invalid, not_found
from emulators.api.unary import Methods
from emulators.journal import Journal

Policy: Any = policy_pb2.Policy
_iam: Any = iam_policy_pb2
_ROLE = re.compile(r"(roles|(projects|organizations)/[^/]+/roles)/[^/]+")
_MEMBER = re.compile(r"(deleted:)?[A-Za-z]+:.+|allUsers|allAuthenticatedUsers")
_PERMISSION = re.compile(r"[a-z]+\.[A-Za-z]+\.[A-Za-z]+")
_VERSIONS = frozenset({0, 1, 3})


class Policies:
    """The policies of one service's resources, journaled as `policy/<resource>`.

    `check_name` raises `Refused` for what is no name of a resource, `exists` tells whether there is
    one of a name.
    """

    def __init__(
        self,
        journal: Journal,
        check_name: Callable[[str], None],
        exists: Callable[[str], bool],
    ) -> None:
        self._journal = journal
        self._check_name = check_name
        self._exists = exists
        self._policies = {
            key.removeprefix("policy/"): Policy.FromString(record)
            for key, record in journal.items("policy/")
        }

    def methods(self) -> Methods:
        return {
            self.get_iam_policy: (_iam.GetIamPolicyRequest, Policy),
            self.set_iam_policy: (_iam.SetIamPolicyRequest, Policy),
            self.test_iam_permissions: (
                _iam.TestIamPermissionsRequest,
                _iam.TestIamPermissionsResponse,
            ),
        }

    def forget(self, resource: str) -> None:
        """The resource is gone, and its policy with it."""
        if self._policies.pop(resource, None) is not None:
            self._journal.delete(f"policy/{resource}")

    def get_iam_policy(self, request: Any) -> Any:
        """The policy of a resource, an empty one where none was set."""
        self._check_resource(request.resource)
        if request.options.requested_policy_version not in _VERSIONS:
            raise invalid("requested_policy_version must be 0, 1 or 3.")
        return self._policies.get(request.resource, _stamped(Policy()))

    def set_iam_policy(self, request: Any) -> Any:
        """Replaces the whole policy; ABORTED when its etag is not that of the present one."""
        self._check_resource(request.resource)
        _check_policy(request.policy)
        present = self._policies.get(request.resource, _stamped(Policy()))
        if request.policy.etag and request.policy.etag != present.etag:
            raise Refused(
                grpc.StatusCode.ABORTED,
                "There were concurrent policy changes. Please retry the whole "
                "read-modify-write with exponential backoff.",
            )
        policy = _stamped(request.policy, request.policy.version or 1)
        self._journal.put(f"policy/{request.resource}", policy.SerializeToString())
        self._policies[request.resource] = policy
        return policy

    def test_iam_permissions(self, request: Any) -> Any:
        """All permissions are had; none, as documented, on a resource that does not exist."""
        self._check_name(request.resource)
        for permission in request.permissions:
            if not _PERMISSION.fullmatch(permission):
                raise invalid(f"Permission {permission} is not valid.")
        held = request.permissions if self._exists(request.resource) else []
        return _iam.TestIamPermissionsResponse(permissions=held)

    def _check_resource(self, resource: str) -> None:
        self._check_name(resource)
        if not self._exists(resource):
            raise not_found()


def _check_policy(policy: Any) -> None:
    if policy.version not in _VERSIONS:
        raise invalid("The version of a policy must be 0, 1 or 3.")
    for binding in policy.bindings:
        if not _ROLE.fullmatch(binding.role):
            raise invalid(f"Role {binding.role} is not supported for this resource.")
        for member in binding.members:
            if not _MEMBER.fullmatch(member):
                raise invalid(f"The member {member} is of an unknown type.")
        if binding.HasField("condition") and policy.version != 3:
            raise invalid("A policy with conditions must be of version 3.")


def _stamped(policy: Any, version: int = 0) -> Any:
    """A copy of this version whose etag stands for its contents."""
    stamped = Policy()
    stamped.CopyFrom(policy)
    stamped.version = version
    stamped.ClearField("etag")
    content = stamped.SerializeToString(deterministic=True)
    stamped.etag = hashlib.sha256(content).digest()[:8]
    return stamped
