"""Query explain: the index Firestore would use, and what running the query took.

Format: https://cloud.google.com/firestore/docs/query-explain
"""

from google.cloud.firestore_v1 import types

from emulators.firestore.messages import Message
from emulators.firestore.queries import Query

_ExplainMetrics = types.ExplainMetrics.pb()


def plan(query: Query) -> Message:
    """ExplainMetrics of a query that was not run."""
    properties = [f"{'.'.join(path)} ASC" for path in query.equalities]
    properties += [
        f"{'.'.join(path)} {'DESC' if descending else 'ASC'}"
        for path, descending in query.orders
        if path not in query.equalities
    ]
    if query.nearest is not None:
        dimension = len(query.nearest.vector)
        properties.append(f"{'.'.join(query.nearest.path)} VECTOR<{dimension}>")
    metrics = _ExplainMetrics()
    index = metrics.plan_summary.indexes_used.add()
    index["properties"] = f"({', '.join(properties)})"
    index["query_scope"] = "Collection group" if query.descends else "Collection"
    return metrics


def analysis(query: Query, scanned: int, returned: int, seconds: float) -> Message:
    """ExplainMetrics of a query that was run; `scanned` documents gave `returned` results."""
    metrics = plan(query)
    stats = metrics.execution_stats
    stats.results_returned = returned
    stats.read_operations = max(returned, 1)
    stats.execution_duration.FromMicroseconds(max(int(seconds * 1e6), 1))
    stats.debug_stats["documents_scanned"] = str(scanned)
    stats.debug_stats["index_entries_scanned"] = str(scanned)
    stats.debug_stats["billing_details"] = {
        "documents_billable": str(returned),
        "index_entries_billable": "0",
        "min_query_cost": "0",
        "small_ops": "0",
    }
    return metrics
