"""google.iam.v1.IAMPolicy for Pub/Sub's resources: policies are kept, none is enforced."""

import hashlib
import re
from collections.abc import Callable

import grpc
from google.iam.v1 import iam_policy_pb2, policy_pb2

from emulators.journal import Journal
from emulators.pubsub.wire import Proto, Refused, invalid, not_found, unary_of

_RESOURCE = re.compile(r"projects/[^/]+/(topics|subscriptions|snapshots|schemas)/[^/]+")
_ROLE = re.compile(r"(roles|(projects|organizations)/[^/]+/roles)/[^/]+")
_MEMBER = re.compile(r"(deleted:)?[A-Za-z]+:.+|allUsers|allAuthenticatedUsers")
_PERMISSION = re.compile(r"[a-z]+\.[A-Za-z]+\.[A-Za-z]+")
_VERSIONS = frozenset({0, 1, 3})


class Policies:
    """The policies of resources that exist; journaled as `policy/<resource>`."""

    def __init__(self, journal: Journal, exists: Callable[[str], bool]) -> None:
        self._journal = journal
        self._exists = exists
        self._policies: dict[str, Proto] = {}
        for key, record in journal.items("policy/"):
            self._policies[key.removeprefix("policy/")] = policy_pb2.Policy.FromString(record)

    def handler(self) -> grpc.GenericRpcHandler:
        policy = policy_pb2.Policy
        methods = {
            "SetIamPolicy": unary_of(
                self.set_iam_policy, iam_policy_pb2.SetIamPolicyRequest, policy
            ),
            "GetIamPolicy": unary_of(
                self.get_iam_policy, iam_policy_pb2.GetIamPolicyRequest, policy
            ),
            "TestIamPermissions": unary_of(
                self.test_iam_permissions,
                iam_policy_pb2.TestIamPermissionsRequest,
                iam_policy_pb2.TestIamPermissionsResponse,
            ),
        }
        return grpc.method_handlers_generic_handler("google.iam.v1.IAMPolicy", methods)

    def forget(self, resource: str) -> None:
        """The resource is gone, and its policy with it."""
        if self._policies.pop(resource, None) is not None:
            self._journal.delete(f"policy/{resource}")

    def get_iam_policy(self, request: Proto) -> Proto:
        self._check_resource(request.resource)
        if request.options.requested_policy_version not in _VERSIONS:
            raise invalid("requested_policy_version must be 0, 1 or 3.")
        return self._policies.get(request.resource, _stamped(policy_pb2.Policy()))

    def set_iam_policy(self, request: Proto) -> Proto:
        """Replaces the whole policy; ABORTED when its etag is not that of the present one."""
        self._check_resource(request.resource)
        _check_policy(request.policy)
        present: Proto = self._policies.get(request.resource) or _stamped(policy_pb2.Policy())
        if request.policy.etag and request.policy.etag != present.etag:
            raise Refused(
                grpc.StatusCode.ABORTED,
                "There were concurrent policy changes. Please retry the whole "
                "read-modify-write with exponential backoff.",
            )
        policy = _stamped(request.policy)
        self._journal.put(f"policy/{request.resource}", policy.SerializeToString())
        self._policies[request.resource] = policy
        return policy

    def test_iam_permissions(self, request: Proto) -> Proto:
        """All permissions are had; none, as documented, on a resource that does not exist."""
        _check_form(request.resource)
        for permission in request.permissions:
            if not _PERMISSION.fullmatch(permission):
                raise invalid(f"Permission {permission} is not valid.")
        held = request.permissions if self._exists(request.resource) else []
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=held)

    def _check_resource(self, resource: str) -> None:
        _check_form(resource)
        if not self._exists(resource):
            raise not_found(resource)


def _check_form(resource: str) -> None:
    if not _RESOURCE.fullmatch(resource):
        raise invalid(f"Invalid resource name given (name={resource}).")


def _check_policy(policy: Proto) -> None:
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


def _stamped(policy: Proto) -> Proto:
    """A copy whose etag stands for its contents."""
    stamped = policy_pb2.Policy()
    stamped.CopyFrom(policy)
    stamped.ClearField("etag")
    content = stamped.SerializeToString(deterministic=True)
    stamped.etag = hashlib.sha256(content).digest()[:8]
    return stamped
