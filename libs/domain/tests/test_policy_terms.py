"""What others than risk read of a policy."""

import json

import pytest

from tollgate_contracts.config import config_hash
from tollgate_contracts.risk import Policy
from tollgate_domain.policy_terms import terms_of

TERMS = {"venue": "simulated", "account": "main", "rules": {"cash": {"treasury_share_bps": "2000"}}}


def policy(text, hash_of=None):
    envelope = {"id": "risk:policy:1", "desk": "main", "run_id": "r1", "ts_us": 1, "cause": None, "cycle_id": 0}
    return Policy(text=text, hash=config_hash(text if hash_of is None else hash_of), **envelope)


def test_a_policy_names_whose_account_it_binds_and_the_treasurys_share():
    terms = terms_of(policy(json.dumps({**TERMS, "version": 3})))
    assert (terms.venue, terms.account, terms.treasury_share_bps) == ("simulated", "main", 2000)


@pytest.mark.parametrize(
    ("text", "hash_of"),
    [
        pytest.param("{", None, id="no JSON"),
        pytest.param("{}", None, id="no terms"),
        pytest.param(json.dumps({**TERMS, "version": 2}), None, id="a version that risk does not take"),
        pytest.param(json.dumps({**TERMS, "venue": ""}), None, id="no venue"),
        pytest.param(json.dumps(TERMS).replace("2000", "10001"), None, id="more than all"),
        pytest.param(json.dumps(TERMS), "{}", id="another text's hash"),
    ],
)
def test_a_policy_that_cannot_be_read_has_no_terms(text, hash_of):
    assert terms_of(policy(text, hash_of)) is None
