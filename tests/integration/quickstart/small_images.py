#!/usr/bin/env python3
"""Runs the quickstart on two made-up images and checks its report."""
import json
import os
import random
import subprocess
import sys
import tempfile


def make_images(directory):
    """1.5 MB of code-like bytes; the second moves and changes some of it."""
    generator = random.Random(20260101)
    words = [generator.randbytes(16) for _ in range(4096)]
    old = bytearray(b"".join(generator.choice(words) for _ in range(96000)))
    new = bytearray(old)
    for _ in range(400):
        at = generator.randrange(len(new))
        new[at] ^= 1 + generator.randrange(255)
    new[500000:500000] = generator.randbytes(3000)
    paths = []
    for name, content in (("old.img", old), ("new.img", new)):
        paths.append(os.path.join(directory, name))
        with open(paths[-1], "wb") as file:
            file.write(content)
    return paths


def main():
    quickstart, binaries = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        old, new = make_images(directory)
        report_path = os.path.join(directory, "report.json")
        done = subprocess.run(
            [sys.executable, quickstart, "--bin", binaries, "--image-old", old,
             "--image-new", new, "--report", report_path], check=False)
        if done.returncode != 0:
            return done.returncode
        with open(report_path, encoding="utf-8") as file:
            report = json.load(file)
    wanted = {"devices": 5, "on_new_release": 5, "server_killed": True,
              "node_killed": True, "bad_image_spread": 0, "outcomes_pulled": 5,
              "telemetry_missing": 0, "telemetry_duplicates": 0}
    wrong = {key: report[key] for key in wanted if report[key] != wanted[key]}
    if report["delta_bytes"] * 20 > report["full_image_bytes"]:
        wrong["delta_bytes"] = report["delta_bytes"]
    if len(report["refused"]) != 5:
        wrong["refused"] = report["refused"]
    if wrong:
        print(f"the report is wrong: {wrong}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
