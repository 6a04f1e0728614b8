"""The signing key: what is refused as a key, and that a signature stands for one text of one kind."""

import hashlib

import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tollgate_chassis.exits import BadConfiguration
from tollgate_contracts.approval import APPROVAL_DOMAIN, PERMIT_DOMAIN
from tollgate_risk.signing import Signer

SEED = hashlib.sha256(b"a seed for tests").hexdigest()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param("", "shorter", id="empty"),
        pytest.param(SEED[:30], "shorter", id="short"),
        pytest.param(SEED[:62], "64 hexadecimal digits is expected, got 62", id="two digits short"),
        pytest.param(SEED + "00", "got 66", id="two digits long"),
        pytest.param("changeme" * 8, "placeholder", id="changeme"),
        pytest.param("z" * 64, "64 hexadecimal digits", id="no hexadecimal"),
        pytest.param("00" * 32, "only 1 different bytes", id="zeros"),
        pytest.param("0123456789abcdef" * 4, "only 8 different bytes", id="typed by hand"),
    ],
)
def test_what_is_no_random_seed_is_refused_without_showing_it(tmp_path, content, said):
    """A key that was made up signs for everybody."""
    path = tmp_path / "approval_signing_key"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadConfiguration, match=said) as refused:
        Signer.load(path)
    assert str(path) in refused.value.why
    assert not content or content not in refused.value.why


def test_a_signature_verifies_over_the_exact_text_behind_its_tag_only(tmp_path):
    """The other tag, or one other byte, and it does not stand."""
    path = tmp_path / "key"
    path.write_text(f"{SEED}\n")
    signer = Signer.load(path)
    signed = signer.sign(APPROVAL_DOMAIN, '{"text":"ü"}')
    key, signature = VerifyKey(bytes.fromhex(signer.public_key)), bytes.fromhex(signed.signature)
    key.verify(APPROVAL_DOMAIN + signed.text.encode(), signature)
    for forged in (PERMIT_DOMAIN + signed.text.encode(), APPROVAL_DOMAIN + signed.text.encode() + b" "):
        with pytest.raises(BadSignatureError):
            key.verify(forged, signature)
    assert signed.key_id == hashlib.sha256(bytes(key)).hexdigest()[:16]
    assert signer.sign(APPROVAL_DOMAIN, signed.text) == signed, "the same text always has the same signature"
