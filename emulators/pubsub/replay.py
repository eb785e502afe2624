"""Seek and snapshots: the part of the Subscriber service that turns a subscription back."""

from datetime import timedelta

from emulators.api.field_masks import merged
from emulators.api.paging import page
from emulators.api.refusals import invalid
from emulators.api.times import instant
from emulators.api.unary import Handler
from emulators.pubsub import rules
from emulators.pubsub.delivery import Subscription
from emulators.pubsub.history import SNAPSHOT_LIFE
from emulators.pubsub.resources import Broker
from emulators.pubsub.wire import Empty, Proto, Snapshot, message_class, unary, unmet


class Replay:
    """Methods take and give raw protobuf messages and raise `Refused`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def methods(self) -> dict[str, Handler]:
        return {
            "CreateSnapshot": unary(self.create_snapshot, "CreateSnapshotRequest", "Snapshot"),
            "GetSnapshot": unary(self.get_snapshot, "GetSnapshotRequest", "Snapshot"),
            "ListSnapshots": unary(
                self.list_snapshots, "ListSnapshotsRequest", "ListSnapshotsResponse"
            ),
            "UpdateSnapshot": unary(self.update_snapshot, "UpdateSnapshotRequest", "Snapshot"),
            "DeleteSnapshot": unary(self.delete_snapshot, "DeleteSnapshotRequest", "Empty"),
            "Seek": unary(self.seek, "SeekRequest", "SeekResponse"),
        }

    def create_snapshot(self, request: Proto) -> Proto:
        subscription = self._broker.subscription(request.subscription)
        project = subscription.name.partition("/subscriptions/")[0]
        name = request.name or f"{project}/snapshots/snapshot-{self._broker.random_id()}"
        rules.check_name("snapshots", name)
        rules.check_labels(request.labels)
        config = Snapshot(name=name, labels=request.labels)
        self._broker.take_snapshot(config, subscription)
        return config

    def get_snapshot(self, request: Proto) -> Proto:
        return self._broker.archive.snapshot(request.snapshot).config

    def list_snapshots(self, request: Proto) -> Proto:
        rules.check_project(request.project)
        known = self._broker.archive.snapshots
        names, token = page(
            (n for n in known if n.startswith(f"{request.project}/")), request, rules.MOST_LISTED
        )
        return message_class("ListSnapshotsResponse")(
            snapshots=[known[name].config for name in names], next_page_token=token
        )

    def update_snapshot(self, request: Proto) -> Proto:
        snapshot = self._broker.archive.snapshot(request.snapshot.name)
        rules.check_mask(request.update_mask, rules.SNAPSHOT_CHANGES, Snapshot)
        changed = merged(snapshot.config, request.snapshot, request.update_mask.paths)
        rules.check_labels(changed.labels)
        if instant(changed.expire_time, "expire_time") <= self._broker.agenda.clock.now():
            raise invalid("expire_time must be in the future.")
        snapshot.config = changed
        self._broker.archive.save(snapshot)
        return changed

    def delete_snapshot(self, request: Proto) -> Proto:
        self._broker.archive.delete(request.snapshot)
        return Empty()

    def seek(self, request: Proto) -> Proto:
        """To a time: older messages count as acknowledged, younger ones come (again)."""
        subscription = self._broker.subscription(request.subscription)
        target = request.WhichOneof("target")
        if target == "time":
            time = instant(request.time, "time")
            life = self._life(subscription)
            self._broker.seek(subscription, lambda each: each.published >= time, life)
        elif target == "snapshot":
            snapshot = self._broker.archive.snapshot(request.snapshot)
            if snapshot.config.topic != subscription.topic:
                raise unmet("The snapshot is of another topic than the subscription.")
            self._broker.seek(subscription, snapshot.wants, SNAPSHOT_LIFE)
        else:
            raise invalid("A seek needs a time or a snapshot.")
        return message_class("SeekResponse")()

    def _life(self, subscription: Subscription) -> timedelta:
        """How long acknowledged messages can be had again, by topic or by subscription."""
        life = subscription.retention if subscription.retains_acked else timedelta()
        if (topic := self._broker.topics.get(subscription.topic)) is not None:
            life = max(life, topic.message_retention_duration.ToTimedelta())
        return life
