"""IAM policies of queues and encryption keys of locations: stored and shown, never enforced."""

import hashlib
from collections.abc import Callable
from typing import Any

import grpc
from google.cloud import tasks_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2

from emulators.journal import Journal
from emulators.tasks import rules
from emulators.unary import Methods, Refused, invalid, not_found

Policy: Any = policy_pb2.Policy
CmekConfig: Any = tasks_v2.CmekConfig.pb()
_iam: Any = iam_policy_pb2


class Policies:
    """`exists` says whether there is a queue of a name."""

    def __init__(self, journal: Journal, exists: Callable[[str], bool]) -> None:
        self._journal = journal
        self._exists = exists
        stored = journal.items("policy/")
        self._policies = {key.partition("/")[2]: Policy.FromString(value) for key, value in stored}
        stored = journal.items("cmek/")
        self._configs = {
            key.partition("/")[2]: CmekConfig.FromString(value) for key, value in stored
        }

    def methods(self) -> Methods:
        return {
            self.get_iam_policy: (_iam.GetIamPolicyRequest, Policy),
            self.set_iam_policy: (_iam.SetIamPolicyRequest, Policy),
            self.test_iam_permissions: (
                _iam.TestIamPermissionsRequest,
                _iam.TestIamPermissionsResponse,
            ),
            self.get_cmek_config: (tasks_v2.GetCmekConfigRequest, tasks_v2.CmekConfig),
            self.update_cmek_config: (tasks_v2.UpdateCmekConfigRequest, tasks_v2.CmekConfig),
        }

    def forget(self, queue: str) -> None:
        """A queue was deleted, and its policy with it."""
        if self._policies.pop(queue, None) is not None:
            self._journal.delete(f"policy/{queue}")

    def get_iam_policy(self, request: Any) -> Any:
        """The policy of a queue, an empty one where none was set."""
        self._check(request.resource)
        return self._policies.get(request.resource, Policy(etag=_etag(Policy())))

    def set_iam_policy(self, request: Any) -> Any:
        """Replace a queue's policy; a stale `etag` is refused with ABORTED."""
        self._check(request.resource)
        held = self._policies.get(request.resource, Policy(etag=_etag(Policy())))
        if request.policy.etag and request.policy.etag != held.etag:
            raise Refused(grpc.StatusCode.ABORTED, "The policy was changed in the meantime.")
        policy = Policy()
        policy.CopyFrom(request.policy)
        policy.version = policy.version or 1
        policy.ClearField("etag")
        policy.etag = _etag(policy)
        self._journal.put(f"policy/{request.resource}", policy.SerializeToString())
        self._policies[request.resource] = policy
        return policy

    def test_iam_permissions(self, request: Any) -> Any:
        """Every permission on a queue that exists, none on one that does not."""
        rules.check_queue_name(request.resource)
        if any("*" in permission for permission in request.permissions):
            raise invalid("Permissions with wildcards are not allowed.")
        held = list(request.permissions) if self._exists(request.resource) else []
        return _iam.TestIamPermissionsResponse(permissions=held)

    def get_cmek_config(self, request: Any) -> Any:
        _check_config_name(request.name)
        return self._configs.get(request.name, CmekConfig(name=request.name))

    def update_cmek_config(self, request: Any) -> Any:
        """Set the key of a location, none for an empty one."""
        name = request.cmek_config.name
        _check_config_name(name)
        paths = list(request.update_mask.paths) or ["kms_key"]
        if not set(paths) <= {"kms_key", "name", "*"}:
            raise invalid("The update mask names unknown fields.")
        config = CmekConfig(name=name, kms_key=request.cmek_config.kms_key)
        self._journal.put(f"cmek/{name}", config.SerializeToString())
        self._configs[name] = config
        return config

    def _check(self, resource: str) -> None:
        rules.check_queue_name(resource)
        if not self._exists(resource):
            raise not_found("Queue does not exist.")


def _check_config_name(name: str) -> None:
    location, _, kind = name.rpartition("/")
    rules.check_location(location)
    if kind.lower() != "cmekconfig":
        raise invalid(f'"{name}" does not end in "cmekConfig".')


def _etag(policy: Any) -> bytes:
    digest = hashlib.sha256(policy.SerializeToString(deterministic=True))
    return digest.hexdigest()[:12].encode()
