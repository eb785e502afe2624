"""The raw protobuf classes of google.pubsub.v1, its refusals and its handlers."""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types

from emulators.api.refusals import Refused
from emulators.api.unary import Handler, handler

Topic = types.Topic.pb()
Subscription = types.Subscription.pb()
Snapshot = types.Snapshot.pb()
Schema = types.Schema.pb()
PubsubMessage = types.PubsubMessage.pb()
PublishRequest = types.PublishRequest.pb()
PullResponse = types.PullResponse.pb()
ReceivedMessage = types.ReceivedMessage.pb()
StreamingPullRequest = types.StreamingPullRequest.pb()
StreamingPullResponse = types.StreamingPullResponse.pb()
Empty = empty_pb2.Empty

Proto = Any  # the protobuf classes above carry no types


def not_found(name: str) -> Refused:
    return Refused(
        grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name.rpartition('/')[2]})."
    )


def already_exists(name: str) -> Refused:
    short = name.rpartition("/")[2]
    return Refused(
        grpc.StatusCode.ALREADY_EXISTS,
        f"Resource already exists in the project (resource={short}).",
    )


def unmet(message: str) -> Refused:
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, message)


def unsupported(message: str) -> Refused:
    return Refused(grpc.StatusCode.UNIMPLEMENTED, message)


def message_class(name: str) -> Proto:
    """The raw class of a message of google.pubsub.v1, or Empty."""
    return Empty if name == "Empty" else getattr(types, name).pb()


def unary(method: Callable[[Proto], Proto], request: str, response: str) -> Handler:
    """A handler for classes of google.pubsub.v1."""
    return handler(method, message_class(request), message_class(response))
