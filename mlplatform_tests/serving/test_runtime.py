"""The end of a service's process."""

import asyncio
import json
from pathlib import Path

import pytest

from mlplatform.serving.bundle import load_bundle
from mlplatform.serving.journal import Entry
from mlplatform.serving.runtime import JOURNAL_VARIABLE, Runtime
from mlplatform.serving.scoring import Live
from mlplatform_tests.serving.conftest import GOOD, write_bundle


async def dies() -> None:
    raise RuntimeError("a poller's own fault")


async def test_the_journal_is_written_at_the_end_although_something_that_was_polled_had_died(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    live = Live.of(load_bundle(write_bundle(tmp_path / "1", "1")), "fraud:v1")
    runtime = Runtime.of({JOURNAL_VARIABLE: str(tmp_path / "journal")})
    assert runtime.journal
    runtime.journal.put(
        Entry(live.bundle.journal, "request", live.describe(), [GOOD], [GOOD], live.predict([GOOD], False), 1.0)
    )
    poller = asyncio.create_task(dies())
    await asyncio.sleep(0)
    await runtime.close([poller])
    lines = [json.loads(line) for file in (tmp_path / "journal").rglob("*.*") for line in file.read_text().splitlines()]
    assert "request" in json.dumps(lines)
    assert "had died" in caplog.text
