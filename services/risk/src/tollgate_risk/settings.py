"""Typed configuration of the gate: how it runs; what it lets through is the policy's."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tollgate_chassis.settings import CONFIG_VARIABLE, DeskSettings, Section
from tollgate_domain.costs import CostModel


class RiskSection(Section):
    """The ``risk`` section of the file."""

    policy_file: Path = Path("policy.yaml")
    """Relative to the folder of the configuration file, or to the working directory where none is named."""
    dry_run: bool = False
    """Everything is judged and nothing is approved, whatever the policy says of it; it never arms anything."""
    permit_interval_ms: Annotated[int, Field(ge=50, le=500)] = 250
    """Between two permits; each lives for a second, so that one lost on the way stops nothing."""


class RiskSettings(DeskSettings):
    """What the gate is started with."""

    risk: RiskSection = RiskSection()
    costs: CostModel = CostModel()

    @property
    def policy_path(self) -> Path:
        """Where the policy file lies."""
        configuration = os.environ.get(CONFIG_VARIABLE)
        folder = Path(configuration).parent if configuration else Path()
        return folder / self.risk.policy_file
