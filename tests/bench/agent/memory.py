#!/usr/bin/env python3
"""What a device's processes keep in memory, idle and while updating.

Runs the quickstart on small images with the programs of BINDIR and samples
the processes of every device: shoal-boot, its shoal-agent, and shoal-fetch and
shoal-patch while they run. Prints a table for docs/device.md.

  python3 tests/bench/agent/memory.py build/release/bin

RSS counts a library once in every process that maps it; PSS shares it among
all who do, also among the five devices on this machine. "alone" is what one
device by itself would keep: private pages, and of each mapped file what the
process that uses most of it has resident.
"""
import collections
import os
import statistics
import subprocess
import sys
import time

PROGRAMS = ("shoal-boot", "shoal-agent", "shoal-fetch", "shoal-patch")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))


def processes():
    """pid → (name, parent's pid) of everything that runs."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                text = file.read()
        except OSError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        found[int(entry)] = (name, int(text[text.rindex(")") + 2:].split()[1]))
    return found


def devices(root):
    """Below process `root`: pid of shoal-boot → pids of its processes."""
    table = processes()
    groups = collections.defaultdict(list)
    for pid, (name, parent) in table.items():
        if name not in PROGRAMS:
            continue
        boot, at, mine = None, pid, False
        while at in table and at > 1:
            boot = at if table[at][0] == "shoal-boot" else boot
            mine = mine or at == root
            at = table[at][1]
        if boot and mine:
            groups[boot].append((table[pid][0], pid))
    return groups


def measure(pid):
    """RSS, PSS, private bytes, and file → shared resident bytes."""
    rss = pss = private = 0
    shared, file_name = collections.Counter(), None
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
        for line in file:
            word = line.split()
            if not word[0].endswith(":"):
                file_name = word[5] if len(word) > 5 else None
                continue
            if word[0] in ("Rss:", "Pss:", "Private_Clean:", "Private_Dirty:",
                           "Shared_Clean:", "Shared_Dirty:"):
                size = int(word[1]) * 1024
                rss += size * (word[0] == "Rss:")
                pss += size * (word[0] == "Pss:")
                private += size * word[0].startswith("Private")
                if word[0].startswith("Shared"):
                    shared[file_name] += size
    return rss, pss, private, shared


def sample(group):
    """One device: names of its processes, their sums, and each one's figures."""
    rss = pss = private = 0
    most, each = collections.Counter(), {}
    for name, pid in group:
        one = measure(pid)
        rss, pss, private = rss + one[0], pss + one[1], private + one[2]
        each[name] = one[:3]
        for file_name, size in one[3].items():
            most[file_name] = max(most[file_name], size)
    return set(each), (rss, pss, private + sum(most.values())), each


def main():
    binaries = os.path.abspath(sys.argv[1])
    run = subprocess.Popen(
        [sys.executable, f"{ROOT}/tests/integration/quickstart/small_images.py",
         f"{ROOT}/deploy/demo/quickstart.py", binaries],
        stdout=subprocess.DEVNULL)
    idle, busy, each_idle = [], [], collections.defaultdict(list)
    while run.poll() is None:
        for group in devices(run.pid).values():
            try:
                names, sums, each = sample(group)
            except OSError:  # one of them just ended
                continue
            if names == {"shoal-boot", "shoal-agent"}:
                idle.append(sums)
                for name, figures in each.items():
                    each_idle[name].append(figures)
            elif "shoal-agent" in names:
                busy.append((sums, each))
        time.sleep(0.2)
    if run.returncode != 0 or not idle or not busy:
        print("the quickstart failed, or was too short to measure")
        return 1

    def row(name, figures):
        print(f"| {name} | " + " | ".join(f"{x / 2**20:.1f}" for x in figures)
              + " |")
    print("| MiB | RSS | PSS | alone |\n|---|---|---|---|")
    row("idle, median", [statistics.median(column) for column in zip(*idle)])
    row("idle, most", [max(column) for column in zip(*idle)])
    row("with shoal-fetch or shoal-patch, median",
        [statistics.median(column) for column in zip(*(b[0] for b in busy))])
    row("with shoal-fetch or shoal-patch, most",
        [max(column) for column in zip(*(b[0] for b in busy))])
    print(f"\n{len(idle)} and {len(busy)} samples. By process, medians:\n")
    print("| MiB | RSS | PSS | private |\n|---|---|---|---|")
    for name in PROGRAMS:
        figures = each_idle[name] if name in each_idle else [
            b[1][name] for b in busy if name in b[1]]
        if figures:
            row(name, [statistics.median(column) for column in zip(*figures)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
