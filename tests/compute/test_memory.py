"""Free memory: the least that the machine, the job and the process still allow."""

import resource
from types import SimpleNamespace

import psutil
import pytest

from ocvp.compute import memory
from ocvp.compute.memory import address_space, free_memory, job_memory


def write_group(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def write_proc(root, text):
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)


def test_a_job_may_take_what_its_group_and_those_above_still_allow(tmp_path):
    """Version 2, as Slurm has it: the step is unlimited, the job has a limit, the user another."""
    write_proc(tmp_path, "0::/slurm/job_7/step_0\n")
    mount = tmp_path / "sys/fs/cgroup"
    step, job, slurm = mount / "slurm/job_7/step_0", mount / "slurm/job_7", mount / "slurm"
    write_group(step, memory__max="max", memory__high="max", memory__current=300)
    assert job_memory(tmp_path) is None
    write_group(job, memory__max=1000, memory__high="max", memory__current=600)
    assert job_memory(tmp_path) == 400
    # files in memory count as free: half of what the job uses is such
    write_group(job, memory__stat="anon 290\nfile 310\ninactive_file 200\nactive_file 100")
    assert job_memory(tmp_path) == 700
    write_group(slurm, memory__max=5000, memory__current=4500)
    assert job_memory(tmp_path) == 500
    write_group(step, memory__high=350)  # a limit that slows the process down counts too
    assert job_memory(tmp_path) == 50


def test_a_container_sees_its_group_as_the_mount_itself(tmp_path):
    write_proc(tmp_path, "12:cpuset:/docker/1\n4:memory,hugetlb:/docker/1\n0::/\n")
    mount = tmp_path / "sys/fs/cgroup/memory"
    write_group(mount, memory__limit_in_bytes=1000, memory__usage_in_bytes=900)
    assert job_memory(tmp_path) == 100
    # version 1 has numbers of the group alone, and under total_ those with the groups below it
    stat = "inactive_file 1\nactive_file 1\ntotal_inactive_file 30\ntotal_active_file 20"
    write_group(mount, memory__stat=stat)
    assert job_memory(tmp_path) == 150
    write_group(mount / "docker/1", memory__limit_in_bytes=80, memory__usage_in_bytes=20)
    assert job_memory(tmp_path) == 60
    # beside version 1, version 2 is mounted elsewhere
    unified = tmp_path / "sys/fs/cgroup/unified"
    write_group(unified, memory__max=50, memory__current=10)
    assert job_memory(tmp_path) == 40


def test_a_system_without_control_groups_has_no_limit(tmp_path):
    assert job_memory(tmp_path) is None
    write_proc(tmp_path, "0::/../elsewhere\n")
    assert job_memory(tmp_path) is None


def test_free_memory_is_the_least_of_all_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    monkeypatch.setattr(memory, "address_space", lambda: None)
    assert free_memory(1, tmp_path) == 1000
    write_proc(tmp_path, "0::/\n")
    group = tmp_path / "sys/fs/cgroup"
    write_group(group, memory__max=900, memory__current=100)
    assert free_memory(1, tmp_path) == 800
    assert free_memory(2, tmp_path) == 400
    monkeypatch.setattr(memory, "address_space", lambda: 500)
    assert free_memory(1, tmp_path) == 500
    assert free_memory(2, tmp_path) == 400  # the limit of a process is its own
    write_group(group, memory__current=2000)
    assert free_memory(1, tmp_path) == 0


def test_the_limit_of_the_process_counts():
    """A real limit; it is above all that this process has."""
    former = resource.getrlimit(resource.RLIMIT_AS)
    if former[0] != resource.RLIM_INFINITY:
        pytest.skip("this process is limited already")
    assert address_space() is None
    room = 3_000_000_000
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + room, former[1]))
    try:
        assert address_space() == pytest.approx(room, abs=100_000_000)
        assert free_memory() <= room + 100_000_000
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)
