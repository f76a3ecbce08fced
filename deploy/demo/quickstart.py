#!/usr/bin/env python3
"""The main job end to end; deploy/quickstart installs, builds and runs this."""
import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tamper
from fleet import DEMO, TYPE, Fleet
from procs import DemoError, fail, run, say, wait_for

DEVICES = 5
NODES = 3
SOAK_SECONDS = 8
HELD = "20s"  # longer than publishing takes


class Steps:
    def __init__(self, total):
        self.total, self.number, self.start = total, 0, time.monotonic()

    def __call__(self, text):
        self.number += 1
        say(f"[{self.number}/{self.total}] {text}  "
            f"({time.monotonic() - self.start:.0f} s)")


def digest(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
    return sha.hexdigest()


def bad_copy(source, path):
    """A third version that its device's health check refuses."""
    with open(source, "rb") as old, open(path, "wb") as new:
        while chunk := old.read(1 << 20):
            new.write(chunk)
        new.write(b"SHOAL-DEMO-UNHEALTHY".ljust(512, b"\0"))
    return path


def factory_image(path):
    with open(path, "wb") as file:
        file.write(b"factory image of the demonstration".ljust(65536, b"\0"))
    return path


def check(condition, what):
    if not condition:
        raise DemoError(what)


def install_first_version(fleet, old, step):
    step("release 1.0 signed offline, uploaded, rolled out in full")
    fleet.release("1.0", 1, old)
    fleet.rollout("first", "1.0", "all:percent=100")
    fleet.wait_version("1.0", 180)
    wait_for("the plane to count 5 outcomes",
             lambda: len(outcomes(fleet, "first")) == DEVICES, 60,
             [fleet.processes.log("shoald")])
    # The plane makes deltas from what it knows to run in the field.
    wait_for("the plane to know what runs",
             lambda: sum(1 for d in fleet.cli("device", "list")[1]["devices"]
                         if d.get("running_version") == "1.0") == DEVICES, 60,
             [fleet.processes.log("shoald")])


def outcomes(fleet, rollout, success=True):
    return [o for o in fleet.rollout_state(rollout).get("outcomes", [])
            if bool(o.get("success")) == success]


def update_without_server(fleet, new, step, report):
    step("release 2.0 and a staged rollout: one canary, a soak, then all")
    fleet.release("2.0", 2, new)
    state = fleet.rollout("second", "2.0",
                          f"canary:count=1,soak={SOAK_SECONDS}s",
                          "all:percent=100")
    published = int(state["published_at"]) / 1000
    step("published and pushed: kill -9 of shoald and of one storage node")
    fleet.processes.kill("shoald")
    fleet.processes.kill("node-3")
    early = fleet.on_version("2.0")
    say(f"     {len(early)} of {DEVICES} devices had 2.0 at that moment")
    report["server_killed"] = report["node_killed"] = True
    fleet.wait_version("2.0", 240)
    report["on_new_release"] = len(fleet.on_version("2.0"))
    step("shoald is back: it pulls what was written while it was dead")
    fleet.start_plane()
    fleet.start_node("node-3")
    wait_for("the plane to pull every outcome",
             lambda: len(outcomes(fleet, "second")) == DEVICES, 90,
             [fleet.processes.log("shoald")],
             lambda: f"{len(outcomes(fleet, 'second'))} outcomes pulled")
    return published


def telemetry(fleet, report):
    def complete():
        streams = fleet.cli("telemetry", "status")[1].get("streams", [])
        report["telemetry_missing"] = sum(int(s.get("missing", 0)) for s in streams)
        report["telemetry_duplicates"] = sum(
            int(s.get("duplicates", 0)) for s in streams)
        report["telemetry_batches"] = sum(int(s.get("batches", 0)) for s in streams)
        return len(streams) == DEVICES and report["telemetry_missing"] == 0
    wait_for("all telemetry without a gap", complete, 60,
             [fleet.processes.log("shoald")],
             lambda: f"{report['telemetry_batches']} batches, "
                     f"{report['telemetry_missing']} missing")


def measure(fleet, published, full, new_digest, report):
    done = outcomes(fleet, "second")
    deltas = fleet.rollout_state("second")["deltas"]
    check(int(deltas["made"]) == 1, f"one delta was expected: {deltas}")
    delta_bytes = int(deltas["bytes"])
    for outcome in done:
        check(outcome["running_sha256"] == new_digest,
              f"{outcome['device']} runs another image than 2.0")
        check(outcome.get("used_delta"),
              f"{outcome['device']} took the full image instead of the delta")
    finished = max(int(o["finished_at"]) for o in done) / 1000
    bytes_per_device = [int(o.get("bytes_downloaded", 0)) for o in done]
    report.update(
        outcomes_pulled=len(done), full_image_bytes=full,
        delta_bytes=delta_bytes, bytes_per_device=bytes_per_device,
        peer_bytes=sum(int(o.get("bytes_from_peers", 0)) for o in done),
        origin_bytes=sum(int(o.get("bytes_from_origin", 0)) for o in done),
        push_seconds=round(finished - published, 2))


def last_update(fleet, device):
    """The last update that came to an end, or the one under way."""
    status = fleet.status(device)
    return status.get("last_update") or {}


def bad_release(fleet, bad, step, report):
    step("release 3.0 fails its health check; shoald is killed again at once")
    fleet.release("3.0", 3, bad)
    # Not started before shoald is dead: it would stop this one by itself as soon
    # as it heard of the canary.
    fleet.rollout("third", "3.0", policy=f"""phases:
  - {{name: canary, count: 1, gate: {{soak: {SOAK_SECONDS}s}}}}
  - {{name: all, percent: 100}}
activation: {{after: {HELD}}}
""")
    fleet.processes.kill("shoald")

    def rolled_back():
        return [d for d in fleet.devices
                if last_update(fleet, d).get("rollout") == "third"]
    canaries = wait_for("the canary to try 3.0 and fall back", rolled_back, 180,
                        [fleet.processes.log(d.name) for d in fleet.devices])
    outcome = last_update(fleet, canaries[0])
    say(f"     {canaries[0].name}: {outcome['result']} ({outcome['reason']})")
    # The time gate has passed twice over before we look at the others.
    end = time.monotonic() + 2 * SOAK_SECONDS + 5
    spread = set()
    while time.monotonic() < end:
        for device in fleet.devices:
            tried = last_update(fleet, device)
            if device not in canaries and tried.get("rollout") == "third":
                spread.add(device.name)
        time.sleep(1)
    report["bad_image_spread"] = len(spread)
    check(not spread, f"3.0 reached {sorted(spread)} beside the canary")
    check(len(fleet.on_version("2.0")) == DEVICES, "not all devices run 2.0")


def commands(fleet, step):
    step("a command to a device while shoald is dead")
    device = fleet.devices[0]
    _, result = fleet.cli("command", "run", device.id, "uptime")
    check(result.get("reason") == "ok", f"uptime: {result}")
    say(f"     uptime on {device.name}: {result.get('output', '').strip()}")
    fleet.start_plane()
    step("a new access policy takes the right away, live")
    fleet.write_policy(2, ["none"])
    fleet.sign("policy", "set", fleet.path("policy-2.json"))
    fleet.cli("trust", "publish", fleet.repo)
    wait_for("the policy to reach the device",
             lambda: int(fleet.cli("device", "get", device.id)[1].get(
                 "policy_version", 0)) >= 2, 60,
             [fleet.processes.log(device.name)])
    _, result = fleet.cli("command", "run", device.id, "uptime", check=False)
    check(result.get("reason") == "permission_denied",
          f"the device still obeys: {result}")
    say("     the device refuses: permission_denied")


def summary(fleet, report, old, new):
    megabytes = report["full_image_bytes"] / 1e6
    say(f"""
Summary
  devices on 2.0 with shoald and a node dead   {report['on_new_release']} of {report['devices']}
  full image                                   {megabytes:.1f} MB
  delta                                        {report['delta_bytes'] / 1e6:.2f} MB
  bytes per device                             {', '.join(f'{b / 1e6:.2f} MB' for b in report['bytes_per_device'])}
  from peers / from origins                    {report['peer_bytes'] / 1e6:.2f} MB / {report['origin_bytes'] / 1e6:.2f} MB
  publish → last verified device               {report['push_seconds']} s (soak {SOAK_SECONDS} s included)
  outcomes pulled after the return             {report['outcomes_pulled']}
  telemetry batches, missing, duplicates       {report['telemetry_batches']}, {report['telemetry_missing']}, {report['telemetry_duplicates']}
  bad release beyond its canary                {report['bad_image_spread']} devices
  sha256 of 1.0                                {old}
  sha256 of 2.0                                {new}""")
    for refusal in report["refused"]:
        say(f"  refused: {refusal['case']:<36} {refusal['reason']}")


def show(options, fleet, report):
    step = Steps(10)
    old, new = options.image_old, options.image_new
    step("offline keys, management plane, three storage nodes")
    fleet.make_keys()
    fleet.connect(fleet.start_plane())
    fleet.start_nodes(NODES)
    step(f"{DEVICES} devices pair by claim ticket")
    fleet.add_devices(DEVICES, factory_image(fleet.path("factory.img")))
    fleet.wait_paired(90)
    install_first_version(fleet, old, step)
    published = update_without_server(fleet, new, step, report)
    telemetry(fleet, report)
    old_digest, new_digest = digest(old), digest(new)
    measure(fleet, published, os.path.getsize(new), new_digest, report)
    bad_release(fleet, bad_copy(new, fleet.path("bad.img")), step, report)
    commands(fleet, step)
    step("tampering: metadata, delta, a stranger's image, a stranger's datagram")
    report["refused"] = tamper.all_cases(fleet)
    telemetry(fleet, report)
    summary(fleet, report, old_digest, new_digest)


def parse():
    parser = argparse.ArgumentParser(prog="deploy/quickstart")
    parser.add_argument("--bin", required=True, help="directory of the programs")
    parser.add_argument("--keep", action="store_true",
                        help="leave the fleet running")
    parser.add_argument("--image-old")
    parser.add_argument("--image-new")
    parser.add_argument("--report", help="write what was measured as JSON")
    options = parser.parse_args()
    if bool(options.image_old) != bool(options.image_new):
        parser.error("--image-old and --image-new go together")
    options.bin = os.path.abspath(options.bin)
    if not options.image_old:
        images = os.path.join(DEMO, "..", "..", "build", "demo-images")
        _, out = run([os.path.join(DEMO, "fetch-images"), images], timeout=900)
        say(out.strip())
        options.image_old = os.path.join(images, "old.img")
        options.image_new = os.path.join(images, "new.img")
    options.image_old = os.path.abspath(options.image_old)
    options.image_new = os.path.abspath(options.image_new)
    return options


def keep_hints(fleet):
    shoal = f"{fleet.program('shoal')} --context-dir {fleet.path('context')}"
    say(f"""
The fleet is running in {fleet.dir}. To try:
  {shoal} device list
  {shoal} rollout list
  {shoal} rollout get second
  {shoal} telemetry tail --last 5
  {shoal} node status
  {fleet.program('shoal-agent')} status --config {fleet.devices[0].config}
Logs: {fleet.dir}/*.log
Ctrl-C here stops it and removes everything.""")
    signal.pause()


def main():
    # A terminated run cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = {"devices": DEVICES, "refused": [], "server_killed": False,
              "node_killed": False}
    fleet = None
    try:
        options = parse()
        fleet = Fleet(tempfile.mkdtemp(prefix="shoal-quickstart-"), options.bin)
        show(options, fleet, report)
        if options.report:
            with open(options.report, "w", encoding="utf-8") as file:
                json.dump(report, file, indent=2)
                file.write("\n")
        if not options.keep:
            fleet.processes.stop_all()
            reports = fleet.processes.sanitizer_reports()
            check(not reports, f"a sanitizer reports:\n{reports}")
        say("\nquickstart: everything held.")
        if options.keep:
            keep_hints(fleet)
        return 0
    except KeyboardInterrupt:
        say("\nquickstart: interrupted; cleaning up")
        return 130
    except DemoError as error:
        fail(error)
        if os.environ.get("SHOAL_KEEP_TEMP") and fleet:
            say(f"kept {fleet.dir}")
            fleet.processes.stop_all()
            fleet = None
        return 1
    finally:
        if fleet:
            fleet.remove()


if __name__ == "__main__":
    sys.exit(main())
