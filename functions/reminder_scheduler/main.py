"""Timers that are due soon become Cloud Tasks; the tasks wake the functions that handle them."""

from shared.runtime import wake_ups
from shared.runtime.agent import Agent

agent = Agent("reminder_scheduler", wake_ups.cloud_tasks)

agent.polls("timers_queue", "* * * * *", wake_ups.queueing)

reminder_scheduler = agent.function
