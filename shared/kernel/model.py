"""The base of all pydantic models."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A pydantic model that is built when it is first used, so that functions start fast."""

    model_config = ConfigDict(defer_build=True)
