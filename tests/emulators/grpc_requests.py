"""One valid request for each RPC, from which arbitrary ones are made by changing a few fields."""

from typing import Any

from google import pubsub_v1
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.firestore_v1 import types as firestore_v1

PROJECT = "projects/clinicloop-local"
PLACE = f"{PROJECT}/locations/us-central1"
DATABASE = f"{PROJECT}/databases/(default)"
TOPIC = f"{PROJECT}/topics/orders"
SUBSCRIPTION = f"{PROJECT}/subscriptions/shipping"
SNAPSHOT = f"{PROJECT}/snapshots/monday"
SCHEMA = f"{PROJECT}/schemas/order"
QUEUE = f"{PLACE}/queues/timers"
TASK = f"{QUEUE}/tasks/one"
JOB = f"{PLACE}/jobs/nightly"
ROOT = f"{DATABASE}/documents"
ROOM = f"{ROOT}/rooms/one"
NOWHERE = "http://127.0.0.1:1/x"

_topic = {"name": TOPIC, "labels": {"team": "orders"}}
_subscription = {
    "name": SUBSCRIPTION,
    "topic": TOPIC,
    "ack_deadline_seconds": 20,
    "filter": 'attributes.kind = "paid"',
    "enable_message_ordering": True,
    "retry_policy": {"minimum_backoff": "10s", "maximum_backoff": "60s"},
    "dead_letter_policy": {"dead_letter_topic": TOPIC, "max_delivery_attempts": 5},
}
_schema = {"name": SCHEMA, "type_": "AVRO", "definition": '{"type": "string"}'}
_queue = {
    "name": QUEUE,
    "rate_limits": {"max_dispatches_per_second": 5, "max_concurrent_dispatches": 2},
    "retry_config": {"max_attempts": 3, "min_backoff": "1s", "max_backoff": "9s"},
}
_task = {
    "name": TASK,
    "http_request": {"url": NOWHERE, "headers": {"X-Kind": "a"}, "body": b"{}"},
    "dispatch_deadline": "20s",
}
_job = {
    "name": JOB,
    "schedule": "0 3 * * *",
    "time_zone": "Europe/Berlin",
    "http_target": {"uri": NOWHERE},
    "retry_config": {"retry_count": 2},
    "attempt_deadline": "30s",
}
_document = {"name": ROOM, "fields": {"status": {"string_value": "free"}}}
_write = {"update": _document, "update_mask": {"field_paths": ["status"]}}
_where = {
    "field": {"field_path": "status"},
    "op": "EQUAL",
    "value": {"string_value": "free"},
}
_query = {
    "from_": [{"collection_id": "rooms"}],
    "where": {"composite_filter": {"op": "AND", "filters": [{"field_filter": _where}]}},
    "order_by": [{"field": {"field_path": "status"}, "direction": "DESCENDING"}],
    "start_at": {"values": [{"string_value": "free"}], "before": True},
    "limit": 3,
}
_whole_group = {
    "from_": [{"collection_id": "rooms", "all_descendants": True}],
    "order_by": [{"field": {"field_path": "__name__"}, "direction": "ASCENDING"}],
}
_target = {"target_id": 1, "query": {"parent": ROOT, "structured_query": _query}}

_PUBSUB: dict[str, dict[str, Any]] = {
    "CreateTopic": _topic,
    "UpdateTopic": {"topic": _topic, "update_mask": {"paths": ["labels"]}},
    "Publish": {"topic": TOPIC, "messages": [{"data": b"x", "attributes": {"kind": "paid"}}]},
    "GetTopic": {"topic": TOPIC},
    "ListTopics": {"project": PROJECT, "page_size": 2},
    "ListTopicSubscriptions": {"topic": TOPIC},
    "ListTopicSnapshots": {"topic": TOPIC},
    "DetachSubscription": {"subscription": SUBSCRIPTION},
    "DeleteTopic": {"topic": TOPIC},
    "CreateSubscription": _subscription,
    "GetSubscription": {"subscription": SUBSCRIPTION},
    "UpdateSubscription": {
        "subscription": _subscription,
        "update_mask": {"paths": ["ack_deadline_seconds"]},
    },
    "ListSubscriptions": {"project": PROJECT},
    "DeleteSubscription": {"subscription": SUBSCRIPTION},
    "ModifyAckDeadline": {
        "subscription": SUBSCRIPTION,
        "ack_ids": ["a"],
        "ack_deadline_seconds": 9,
    },
    "Acknowledge": {"subscription": SUBSCRIPTION, "ack_ids": ["a"]},
    "Pull": {"subscription": SUBSCRIPTION, "max_messages": 2},
    "StreamingPull": {"subscription": SUBSCRIPTION, "stream_ack_deadline_seconds": 10},
    "ModifyPushConfig": {
        "subscription": SUBSCRIPTION,
        "push_config": {"push_endpoint": NOWHERE, "oidc_token": {"service_account_email": "a@b.c"}},
    },
    "CreateSnapshot": {"name": SNAPSHOT, "subscription": SUBSCRIPTION},
    "GetSnapshot": {"snapshot": SNAPSHOT},
    "ListSnapshots": {"project": PROJECT},
    "UpdateSnapshot": {
        "snapshot": {"name": SNAPSHOT, "labels": {"a": "b"}},
        "update_mask": {"paths": ["labels"]},
    },
    "DeleteSnapshot": {"snapshot": SNAPSHOT},
    "Seek": {"subscription": SUBSCRIPTION, "snapshot": SNAPSHOT},
    "CreateSchema": {"parent": PROJECT, "schema": _schema, "schema_id": "order"},
    "GetSchema": {"name": SCHEMA},
    "ListSchemas": {"parent": PROJECT},
    "ListSchemaRevisions": {"name": SCHEMA},
    "CommitSchema": {"name": SCHEMA, "schema": _schema},
    "RollbackSchema": {"name": SCHEMA, "revision_id": "a"},
    "DeleteSchemaRevision": {"name": f"{SCHEMA}@a"},
    "DeleteSchema": {"name": SCHEMA},
    "ValidateSchema": {"parent": PROJECT, "schema": _schema},
    "ValidateMessage": {
        "parent": PROJECT,
        "name": SCHEMA,
        "message": b'"x"',
        "encoding": "JSON",
    },
}
_TASKS: dict[str, dict[str, Any]] = {
    "CreateQueue": {"parent": PLACE, "queue": _queue},
    "GetQueue": {"name": QUEUE},
    "ListQueues": {"parent": PLACE, "page_size": 2},
    "UpdateQueue": {"queue": _queue, "update_mask": {"paths": ["rate_limits"]}},
    "DeleteQueue": {"name": QUEUE},
    "PauseQueue": {"name": QUEUE},
    "ResumeQueue": {"name": QUEUE},
    "PurgeQueue": {"name": QUEUE},
    "CreateTask": {"parent": QUEUE, "task": _task, "response_view": "FULL"},
    "GetTask": {"name": TASK, "response_view": "BASIC"},
    "ListTasks": {"parent": QUEUE},
    "DeleteTask": {"name": TASK},
    "RunTask": {"name": TASK},
}
_SCHEDULER: dict[str, dict[str, Any]] = {
    "CreateJob": {"parent": PLACE, "job": _job},
    "UpdateJob": {"job": _job, "update_mask": {"paths": ["schedule"]}},
    "GetJob": {"name": JOB},
    "ListJobs": {"parent": PLACE},
    "PauseJob": {"name": JOB},
    "ResumeJob": {"name": JOB},
    "RunJob": {"name": JOB},
    "DeleteJob": {"name": JOB},
}
_FIRESTORE: dict[str, dict[str, Any]] = {
    "GetDocument": {"name": ROOM, "mask": {"field_paths": ["status"]}},
    "ListDocuments": {"parent": ROOT, "collection_id": "rooms", "page_size": 2},
    "CreateDocument": {
        "parent": ROOT,
        "collection_id": "rooms",
        "document_id": "two",
        "document": {"fields": {"status": {"string_value": "free"}}},
    },
    "UpdateDocument": {"document": _document, "update_mask": {"field_paths": ["status"]}},
    "DeleteDocument": {"name": ROOM, "current_document": {"exists": True}},
    "BatchGetDocuments": {"database": DATABASE, "documents": [ROOM]},
    "BeginTransaction": {"database": DATABASE, "options": {"read_only": {}}},
    "Commit": {"database": DATABASE, "writes": [_write]},
    "Rollback": {"database": DATABASE, "transaction": b"x"},
    "BatchWrite": {"database": DATABASE, "writes": [_write]},
    "Write": {"database": DATABASE},
    "ListCollectionIds": {"parent": ROOM},
    "RunQuery": {"parent": ROOT, "structured_query": _query},
    "RunAggregationQuery": {
        "parent": ROOT,
        "structured_aggregation_query": {
            "structured_query": _query,
            "aggregations": [{"count": {"up_to": 2}, "alias": "all"}],
        },
    },
    "PartitionQuery": {"parent": ROOT, "structured_query": _whole_group, "partition_count": 2},
    "Listen": {"database": DATABASE, "add_target": _target},
}
_MADE_BY = {
    "CreateTopic": pubsub_v1.Topic,
    "CreateSubscription": pubsub_v1.Subscription,
}


def valid(rpc: str) -> Any:
    """A valid request of `rpc` (`Publisher/Publish`) as a raw message; None where none is known."""
    name = rpc.rpartition("/")[2]
    for package, known in (
        (pubsub_v1, _PUBSUB),
        (tasks_v2, _TASKS),
        (scheduler_v1, _SCHEDULER),
        (firestore_v1, _FIRESTORE),
    ):
        if name in known:
            kind: Any = _MADE_BY.get(name) or getattr(package, f"{name}Request")
            return kind.pb(kind(known[name]))
    return None
