"""Under which policy this process works: that of the operator's file, or a tightening of exactly that.

Everything that asks for the policy of this process asks here: what goes onto the tape at start, whether a permit may
be given, and what a further tightening begins from.
"""

from tollgate_contracts.config import config_hash
from tollgate_risk.core.policy import PolicyDocument, PolicyRules
from tollgate_risk.core.state import RiskState
from tollgate_risk.core.tightening import changes
from tollgate_risk.policy_file import canonical_text


class OwnPolicy:
    """The policy of this process, by its hash; it is in force once the tape says so."""

    def __init__(self, file: PolicyDocument) -> None:
        """Take the policy that the operator's file makes."""
        self._file = file
        self.document = file
        """The policy under which this process signs and permits."""
        self.file_text = canonical_text(file)
        self.file_hash = config_hash(self.file_text)
        self.hash = self.file_hash
        """Of that policy."""
        self._announced: str | None = None

    def is_in_force(self, state: RiskState) -> bool:
        """Say whether the tape has this process's policy in force, or the one that it has just put there."""
        return state.policy is not None and state.policy_hash in {self.hash, self._announced}

    def take_up(self, state: RiskState) -> bool:
        """Take up what the tape has in force, where it is ours; false when the file's policy must be put there.

        A tightening of exactly this file stays: a crash must not loosen. Under another file it is over, because a
        person has written that one since.
        """
        if state.policy is None or state.policy_hash is None:
            return False
        if state.policy_hash != self.file_hash and not self._is_tightened(state.policy):
            return False
        self.hash, self.document = state.policy_hash, state.policy
        return True

    def _is_tightened(self, policy: PolicyDocument) -> bool:
        is_of_this_file = policy.tightens == self.file_hash
        is_alike = policy.model_copy(update={"tightens": None, "rules": self._file.rules}) == self._file
        return is_of_this_file and is_alike and all(one.is_tighter for one in changes(self._file.rules, policy.rules))

    def tightened(self, rules: PolicyRules) -> PolicyDocument:
        """Return the policy with these rules instead of the file's; raises ``ValidationError`` as documents do."""
        fields = {name: getattr(self._file, name) for name in PolicyDocument.model_fields}
        return PolicyDocument(**{**fields, "tightens": self.file_hash, "rules": rules})

    @property
    def is_waiting(self) -> bool:
        """Whether a policy was announced that the tape has not in force yet."""
        return self._announced is not None

    def announce(self, policy_hash: str) -> None:
        """Recognise the policy that is about to go onto the tape."""
        self._announced = policy_hash

    def note_applied(self, state: RiskState) -> None:
        """Make the announced policy this process's own once the tape has it in force."""
        if self._announced is not None and state.policy_hash == self._announced and state.policy is not None:
            self.hash, self.document = self._announced, state.policy
            self._announced = None
