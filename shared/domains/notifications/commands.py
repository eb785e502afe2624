"""What can be asked of the notifications context; also the bodies of its routes."""

from pydantic import ConfigDict, Field

from shared.domains.notifications.model import Topic
from shared.events.messages import Channel
from shared.kernel.model import Model


class Preference(Model):
    """Whether a topic is wanted on a channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: Topic
    channel: Channel
    wanted: bool


class SetPreferences(Model):
    """Choose per topic and channel; what is not named stays as it was."""

    model_config = ConfigDict(extra="forbid")

    preferences: list[Preference] = Field(min_length=1, max_length=len(Topic) * len(Channel))
