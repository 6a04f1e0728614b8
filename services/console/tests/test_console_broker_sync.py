"""A broker that acknowledges before the disk has it is refused, whatever its configuration file says."""

import pytest

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.provision.broker import check_sync


def variables(**config: object) -> dict[str, object]:
    return {"jetstream": {"config": {"sync_interval": 120_000_000_000, **config}}}


def test_a_server_that_syncs_each_message_passes():
    check_sync(variables(sync_always=True))


@pytest.mark.parametrize("seen", [variables(), variables(sync_always=False), {}])
def test_anything_less_is_refused_and_told_what_is_expected(seen):
    with pytest.raises(ConsoleError, match="expected `sync_interval: always`") as refused:
        check_sync(seen)
    assert refused.value.code is ConsoleExit.BAD_CONFIGURATION
