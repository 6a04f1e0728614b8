"""How a check says what it found."""

from dataclasses import dataclass

from tollgate_console.doctor.report import CheckResult, Outcome


@dataclass(frozen=True, slots=True)
class Area:
    """One area of checks; its methods make the results."""

    name: str

    def passed(self, check: str, said: str) -> CheckResult:
        """It is as it must be."""
        return CheckResult(area=self.name, name=check, outcome=Outcome.PASS, said=said)

    def warned(self, check: str, said: str, do: str) -> CheckResult:
        """It works, and will not for long."""
        return CheckResult(area=self.name, name=check, outcome=Outcome.WARN, said=said, do=do)

    def failed(self, check: str, said: str, do: str) -> CheckResult:
        """It is not as it must be."""
        return CheckResult(area=self.name, name=check, outcome=Outcome.FAIL, said=said, do=do)

    def skipped(self, check: str, why: str) -> CheckResult:
        """It could not be looked at."""
        return CheckResult(area=self.name, name=check, outcome=Outcome.SKIPPED, said=why)

    def decided(self, check: str, wrong: list[str], well: str, do: str) -> CheckResult:
        """Fail with everything that is ``wrong``, or pass with what is ``well``."""
        return self.failed(check, "; ".join(wrong), do) if wrong else self.passed(check, well)
