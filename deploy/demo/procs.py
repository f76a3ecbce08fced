"""Processes of the demonstration: start, wait for, kill, clean up."""
import json
import os
import re
import signal
import subprocess
import sys
import time


# Builds with sanitizers are several times slower.
TIMEOUT_SCALE = float(os.environ.get("SHOAL_TIMEOUT_SCALE", "1"))
REPORTS = re.compile("ERROR: AddressSanitizer|ERROR: LeakSanitizer|"
                     "WARNING: ThreadSanitizer|runtime error:")


class DemoError(Exception):
    """Something did not happen; the message says what and where to look."""


def say(text):
    print(text, flush=True)


def wait_for(what, condition, timeout, logs=(), progress=None):
    """Polls until condition() is true; prints progress when it changes."""
    timeout *= TIMEOUT_SCALE
    end = time.monotonic() + timeout
    last = None
    while True:
        value = condition()
        if value:
            return value
        if progress:
            text = progress()
            if text != last:
                say(f"     {text}")
                last = text
        if time.monotonic() > end:
            tails = "".join(tail(log) for log in logs)
            raise DemoError(f"waited {timeout:.0f} s in vain for {what}\n{tails}")
        time.sleep(0.1)


def tail(path, lines=15):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            text = "".join(log.readlines()[-lines:])
    except OSError as error:
        text = f"{error}\n"
    return f"--- {path}\n{text}"


class Processes:
    """All children; each in a session of its own, its output in a log file."""

    def __init__(self, directory):
        self.directory = directory
        self.children = {}

    def log(self, name):
        return os.path.join(self.directory, f"{name}.log")

    def start(self, name, arguments):
        with open(self.log(name), "ab") as log:
            log.write(b"demo: start " + " ".join(arguments).encode() + b"\n")
            log.flush()
            self.children[name] = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd=self.directory)

    def running(self, name):
        child = self.children.get(name)
        return child is not None and child.poll() is None

    def kill(self, name):
        """kill -9 of the process and everything it started."""
        child = self.children.pop(name)
        kill_group(child.pid)
        child.wait()

    def stop_all(self):
        for child in self.children.values():
            try:
                os.killpg(child.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        end = time.monotonic() + 5 * TIMEOUT_SCALE
        for child in self.children.values():
            try:
                child.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            kill_group(child.pid)
            child.wait()
        self.children.clear()

    def sanitizer_reports(self):
        """What sanitizers wrote to the logs, in builds that have them."""
        found = ""
        for entry in sorted(os.listdir(self.directory)):
            if not entry.endswith(".log"):
                continue
            path = os.path.join(self.directory, entry)
            with open(path, encoding="utf-8", errors="replace") as log:
                text = log.read()
            report = REPORTS.search(text)
            if report:
                found += f"--- {path}\n{text[report.start():][:16384]}\n"
        return found

    def ready(self, name, timeout=40):
        """Waits for event=ready after the last start; returns its fields."""
        def fields():
            if not self.running(name):
                raise DemoError(f"{name} ended\n{tail(self.log(name))}")
            found = None
            with open(self.log(name), encoding="utf-8", errors="replace") as log:
                for line in log:
                    if line.startswith("demo: start"):
                        found = None
                    elif " event=ready " in line:
                        found = dict(part.split("=", 1) for part in line.split()
                                     if "=" in part)
            return found
        return wait_for(f"{name} to be ready", fields, timeout,
                        [self.log(name)])


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(arguments, check=True, timeout=300):
    """Runs a program to its end; returns (exit code, standard output)."""
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout * TIMEOUT_SCALE, check=False)
    out = done.stdout.decode(errors="replace")
    if check and done.returncode != 0:
        raise DemoError("{} ended with {}\n{}{}".format(
            " ".join(arguments), done.returncode, out,
            done.stderr.decode(errors="replace")))
    return done.returncode, out


def run_json(arguments, check=True):
    code, out = run(arguments, check)
    try:
        try:
            return code, json.loads(out)
        except ValueError:
            # A command that watches prints a line of JSON for each change.
            return code, json.loads(out.strip().split("\n")[-1])
    except ValueError:
        raise DemoError("no JSON from {}: {}".format(
            " ".join(arguments), out[:2000])) from None


def fail(message):
    print(f"\nquickstart: FAILED\n{message}", file=sys.stderr, flush=True)
