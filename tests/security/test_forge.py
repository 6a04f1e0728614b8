"""Forged, altered, replayed and expired approvals against execution's own core; ``make forgeries`` tries a million."""

from tests.security.forge import judge

# Some seconds' worth; the command tries fifty times as many.
FORGERIES = 20_000


def test_no_forged_approval_is_acted_upon_and_each_is_refused_for_its_own_reason():
    """Genuine ones stand between them and pass, so that refusing everything would be noticed."""
    refused, accepted = judge(FORGERIES, seed=2)
    assert accepted == []
    assert sum(refused.values()) == FORGERIES
    assert min(refused.values()) > FORGERIES / 50, "every kind was tried"
