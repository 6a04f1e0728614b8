"""A snapshot is there whole or not at all."""

import pytest

from tollgate_chassis.exits import Halt
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark, Snapshot


async def test_what_was_saved_is_loaded(tmp_path):
    store = FileSnapshots(tmp_path / "risk")
    assert await store.load() is None
    snapshot = Snapshot(7, "risk:7:0", {"core": {"cash": "1.5"}})
    await store.save(snapshot)
    assert await store.load() == snapshot


async def test_one_changed_digit_halts_with_a_way_out(tmp_path):
    store = FileSnapshots(tmp_path)
    await store.save(Snapshot(7, "risk:7:0", {"cash": "1.5"}))
    path = tmp_path / "snapshot.json"
    path.write_text(path.read_text().replace("1.5", "2.5"))
    with pytest.raises(Halt, match=r"snapshot.json is damaged.*remove it to recover from the tape"):
        await store.load()


async def test_a_crash_while_saving_leaves_the_old_one(tmp_path):
    store = FileSnapshots(tmp_path)
    await store.save(Snapshot(7, "a", {}))
    (tmp_path / "snapshot.new").write_text("half of a new o")
    assert (await store.load()).sequence == 7


def test_the_high_water_mark_outlives_the_process(tmp_path):
    mark = HighWaterMark(tmp_path)
    assert mark.read() == 0
    mark.write(12_345)
    mark.close()
    assert HighWaterMark(tmp_path).read() == 12_345
