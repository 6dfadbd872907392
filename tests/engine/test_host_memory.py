"""Free memory of the host: the least of the machine's and of what control groups leave."""

import platform
import sys

import psutil
import pytest
import torch

from spine_rl.engine.host_memory import give_back_freed_memory, list_group_rooms, measure_free_host_memory


def write_group(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def write_own_groups(root, lines):
    write_group(root / "proc/self", {"cgroup": "".join(f"{line}\n" for line in lines)})


def test_the_unified_hierarchy_limits_by_every_group_up_to_the_outermost(tmp_path):
    write_own_groups(tmp_path, ["0::/job/step"])
    outer = {"memory.max": "1000", "memory.current": "400", "memory.stat": "anon 300\ninactive_file 50\n"}
    inner = {"memory.max": "max", "memory.current": "400", "memory.stat": "inactive_file 50\n"}
    write_group(tmp_path / "sys/fs/cgroup/job", outer)
    write_group(tmp_path / "sys/fs/cgroup/job/step", inner)
    assert list_group_rooms(tmp_path) == [650]


def test_the_first_version_is_read_and_other_controllers_are_not(tmp_path):
    write_own_groups(tmp_path, ["7:pids:/a", "4:cpu,memory:/a"])
    files = {"memory.limit_in_bytes": "100", "memory.usage_in_bytes": "130", "memory.stat": "total_inactive_file 10\n"}
    write_group(tmp_path / "sys/fs/cgroup/memory/a", files)
    assert list_group_rooms(tmp_path) == [0]


def test_a_container_sees_its_own_group_as_the_outermost(tmp_path):
    """Without a namespace of its own `proc` has the host's path, which the container cannot see."""
    write_own_groups(tmp_path, ["0::/docker/0123"])
    files = {"memory.max": "500", "memory.current": "100", "memory.stat": "anon 100\n"}
    write_group(tmp_path / "sys/fs/cgroup", files)
    assert list_group_rooms(tmp_path) == [400]


@pytest.mark.parametrize("lines", [[], ["0::/"], ["4:memory:/x"]])
def test_no_limit_no_rooms(tmp_path, lines):
    write_own_groups(tmp_path, lines)
    assert list_group_rooms(tmp_path) == []


def test_a_system_without_control_groups_has_its_available_memory(tmp_path):
    assert list_group_rooms(tmp_path) == []
    assert 0 < measure_free_host_memory() <= psutil.virtual_memory().total


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="the call is glibc's")
def test_freed_memory_is_given_back():
    process, size = psutil.Process(), 64 << 10  # below what glibc asks of the system block by block
    blocks = [torch.ones(size // 4) for _ in range(2048)]
    blocks = blocks[::2]  # the gaps between them are kept
    before = process.memory_info().rss
    give_back_freed_memory()
    assert before - process.memory_info().rss > len(blocks) * size // 2
