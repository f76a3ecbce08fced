"""Attacks on a live device; each must be refused with its named reason."""
import glob
import json
import os
import random
import shutil
import socket

from procs import DemoError, run, say, wait_for

from fleet import TYPE


def flip_bit(path, offset=None):
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        at = size // 2 if offset is None else offset
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def newest(pattern):
    """The file N.role.json with the highest N."""
    files = glob.glob(pattern)
    if not files:
        raise DemoError(f"nothing matches {pattern}")
    return max(files, key=lambda f: int(os.path.basename(f).split(".")[0]))


def install(fleet, device, repository):
    """shoal-agent install into the live device: (accepted, its answer)."""
    code, out = run([fleet.program("shoal-agent"), "install", "--config",
                     device.config, "--output", "json", repository],
                    check=False)
    try:
        answer = json.loads(out)
    except ValueError:
        raise DemoError(f"no JSON from shoal-agent install: {out}") from None
    return code == 0, answer


def refused(fleet, device, repository):
    """The reason why the device refuses the repository at once."""
    accepted, answer = install(fleet, device, repository)
    if accepted:
        raise DemoError(f"the device took a tampered repository: {answer}")
    return answer["reason"]


def still_well(fleet, device):
    if device not in fleet.on_version("2.0"):
        raise DemoError(f"{device.name} does not run 2.0 any more")
    if not fleet.processes.running(device.name):
        raise DemoError(f"{device.name} died")


def export(fleet, name):
    directory = fleet.path(name)
    fleet.cli("release", "export", directory)
    return directory


def metadata_bit(fleet, device):
    repo = export(fleet, "tampered-metadata")
    path = newest(os.path.join(repo, "metadata", f"*.fw-{TYPE}.json"))
    with open(path, "rb") as file:
        # Inside the signed length of an image: JSON stays well-formed.
        offset = file.read().rfind(b'"length":') + len('"length":')
    flip_bit(path, offset)
    return refused(fleet, device, repo)


def delta_bit(fleet, device):
    """3.0 with only its delta at hand, one bit of it flipped."""
    repo = export(fleet, "tampered-delta")
    image = glob.glob(os.path.join(repo, "targets", "fw", TYPE, "3.0", "*"))
    digests = [os.path.basename(f).split(".")[0] for f in image]
    for path in image + [os.path.join(repo, "blobs", d) for d in digests]:
        if os.path.exists(path):
            os.remove(path)
    for blob in glob.glob(os.path.join(repo, "blobs", "*")):
        with open(blob, "rb") as file:
            is_delta = file.read(6) == b"SDELTA"
        if is_delta:
            flip_bit(blob)
    # The metadata is in order, so the device begins; it reads the delta, finds
    # the flipped bit, has no other source, and gives up.
    accepted, answer = install(fleet, device, repo)
    if not accepted:
        return answer["reason"]

    def ended():
        status = fleet.status(device)
        last = status.get("last_update") or {}
        return last if last.get("rollout") == "offline" and not status.get(
            "update") else None
    last = wait_for("the device to give up", ended, 60,
                    [fleet.processes.log(device.name)])
    if last["result"] != "failed":
        raise DemoError(f"the device took a tampered delta: {last}")
    return last["delta_failure"]


def stranger_image(fleet, device):
    """A stranger's fw- key signs an image; his metadata replaces ours."""
    keys, theirs = fleet.path("stranger-keys"), fleet.path("stranger-repo")
    image = fleet.path("stranger.img")
    with open(image, "wb") as file:
        file.write(os.urandom(100000))
    fleet.sign("init", "--kdf", "interactive", keys=keys, repo=theirs)
    fleet.sign("device-type", "add", TYPE, "--kdf", "interactive", keys=keys,
               repo=theirs)
    fleet.sign("image", "add", "--type", TYPE, "--version", "9.0", "--counter",
               "9", image, keys=keys, repo=theirs)
    fleet.sign("publish", keys=keys, repo=theirs)
    whole = refused(fleet, device, theirs)
    # And as a forged role inside our own repository.
    ours = export(fleet, "tampered-role")
    forged = newest(os.path.join(theirs, "metadata", f"*.fw-{TYPE}.json"))
    shutil.copy(forged, newest(os.path.join(ours, "metadata",
                                            f"*.fw-{TYPE}.json")))
    return whole, refused(fleet, device, ours)


def stranger_datagram(fleet):
    """Random bytes, and a replayed length, to every storage node's socket."""
    def dropped():
        nodes = fleet.cli("node", "status")[1]["nodes"]
        return sum(int(n.get("dropped_datagrams", 0)) for n in nodes)
    before = dropped()
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    generator = random.Random(1)
    for name in fleet.nodes:
        host, port = fleet.processes.ready(name)["dht"].rsplit(":", 1)
        for length in (1, 40, 200, 1200):
            sender.sendto(generator.randbytes(length), (host, int(port)))
    wait_for("the nodes to drop 12 datagrams",
             lambda: dropped() >= before + 12, 20,
             [fleet.processes.log(n) for n in fleet.nodes])
    return "dropped_unread"


def all_cases(fleet):
    # A device that has not looked at 3.0: what it knows it does not read again.
    device = next(d for d in fleet.devices if (fleet.status(d).get(
        "last_update") or {}).get("rollout") != "third")
    cases = []

    def record(case, reason, expected):
        if reason not in expected:
            raise DemoError(f"{case}: refused as {reason}, expected {expected}")
        cases.append({"case": case, "reason": reason})
        say(f"     {case}: {reason}")
        still_well(fleet, device)

    record("flipped bit in metadata", metadata_bit(fleet, device),
           ("bad_signature", "hash_mismatch"))
    whole, role = stranger_image(fleet, device)
    record("a stranger's repository", whole, ("bad_signature", "wrong_fleet"))
    record("an image signed by a stranger's key", role,
           ("bad_signature", "hash_mismatch", "length_mismatch"))
    record("flipped bit in the delta", delta_bit(fleet, device),
           ("digest_mismatch", "hash_mismatch", "delta_corrupt"))
    record("a stranger's datagrams", stranger_datagram(fleet),
           ("dropped_unread",))
    return cases
