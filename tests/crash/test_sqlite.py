"""SQLite: whatever is killed meanwhile, what was accepted is found again, and what ran twice has a cause."""

import pytest

from .chaos import survive


@pytest.mark.timeout(150)
async def test_no_accepted_job_is_lost_and_every_repeat_has_a_cause_while_workers_are_killed(tmp_path):
    await survive(tmp_path, f"sqlite:///{tmp_path}/jobs.db?lease=1s", workers=2, kills=20, pause=0.7)
