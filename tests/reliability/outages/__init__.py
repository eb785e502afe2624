"""An engine or a vendor is away for ten virtual minutes under load, or hangs.

`python -m tests.reliability.outages [--targets pubsub,zendesk] [--seed N]`
"""
