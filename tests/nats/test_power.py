"""A power cut: what the server had not written to its disk is gone, and what it had is found again.

Root only, on Linux, and only where it is asked for, as it mounts file systems: WAYBILL_POWER_CUT=1. The server keeps its
data on a file system in an image. At the moment of the cut the server stands still and the image is copied: what lies
in the kernel's memory alone, and is not in the image, is not in the copy. The server then goes on with the copy.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess

import pytest

from waybill.errors import WaybillError

from .conftest import Process, everything

SECONDS = 2
SENDERS = 32


@pytest.fixture
def disk(tmp_path):
    """Makes file systems that are written to the image when they are told to, and not by the kernel's own clock."""
    if os.environ.get("WAYBILL_POWER_CUT") != "1":
        pytest.skip("NO POWER CUT, NOT TESTED: it mounts file systems, so it is run by WAYBILL_POWER_CUT=1, as root")
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.fail("WAYBILL_POWER_CUT=1 wants root and mkfs.ext4")
    mounted = []

    def mount(image):
        folder = tmp_path / f"{image.name}.mounted"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-o", "loop,commit=300", image, folder], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.fail(f"WAYBILL_POWER_CUT=1, and this kernel mounts no image: {done.stderr}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


async def cut_off(connect, program, mount, folder, message, settings):
    """Send jobs until the power fails; how many were confirmed, and which of these were found on the disk."""
    image, copy = folder / "disk", folder / "copy"

    def power_up():
        with image.open("wb") as file:
            file.truncate(256 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        return Process(program, config_of(image))

    def power_up_again():
        server.config = config_of(copy)
        server.start()

    def config_of(disk):
        return f"jetstream {{{{ store_dir: {mount(disk)}/js {settings} }}}}"

    server = await asyncio.to_thread(power_up)
    confirmed, power = set(), asyncio.Event()
    try:
        driver = await connect(server.url, priorities=1, timeout="2s")

        async def send():
            while not power.is_set():
                one = message()
                await driver.enqueue(one)
                if not power.is_set():
                    confirmed.add(one.id)

        senders = [asyncio.create_task(send()) for _ in range(SENDERS)]
        await asyncio.sleep(SECONDS)
        server.pause()
        power.set()  # what is confirmed from here on was so before, but nobody may count on it
        await asyncio.to_thread(subprocess.run, ["cp", "--sparse=always", image, copy], check=True)
        server.kill()
        await asyncio.gather(*senders, return_exceptions=True)
        with contextlib.suppress(WaybillError):
            await driver.close()
        await asyncio.to_thread(power_up_again)
        driver = await connect(server.url, priorities=1)
        found = set()
        while got := await everything(driver, 1000, seconds=1):
            found |= got.keys()
        await driver.close()
    finally:
        server.stop()
    return confirmed, confirmed & found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("version", ["2.10", "newest"])
async def test_a_power_cut_takes_nothing_from_a_server_that_always_syncs(
    connect, middle, newest, disk, tmp_path, message, version
):
    program = {"2.10": middle.program, "newest": newest}[version]
    confirmed, found = await cut_off(connect, program, disk, tmp_path, message, ", sync_interval: always")
    assert len(confirmed) > SENDERS
    assert found == confirmed, f"{len(confirmed - found)} of {len(confirmed)} confirmed jobs are lost"


@pytest.mark.timeout(120)
async def test_a_power_cut_takes_the_last_jobs_of_a_server_that_syncs_now_and_then(
    connect, newest, disk, tmp_path, message
):
    """So the README says; and so the test before could fail."""
    confirmed, found = await cut_off(connect, newest, disk, tmp_path, message, "")
    assert len(confirmed - found) > len(confirmed) / 2
