"""What is seen of the house from outside: logs, traces and metrics.

Ids, codes and numbers only, never PHI. Nothing here raises into a request or makes it wait.
"""

from shared.platform.telemetry.logs import log

__all__ = ["log"]
