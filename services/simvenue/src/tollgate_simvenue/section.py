"""The base of every part of the file."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
