"""Which instance of a service writes for it."""

from typing import Literal

from tollgate_contracts.envelope import Identifier, Message, Service


class Tenure(Message):
    """From here on this instance writes for its service: the one before it loses its next append, and ends."""

    writer: Service
    kind: Literal["tenure"] = "tenure"
    version: Literal[1] = 1
    instance: Identifier
    """Host, process and start of the instance."""
