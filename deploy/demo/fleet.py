"""The demonstration's fleet: offline keys, plane, storage nodes, devices."""
import hashlib
import json
import os
import shutil

from procs import DemoError, Processes, run, run_json, tail, wait_for

TYPE = "demo"
DEMO = os.path.dirname(os.path.abspath(__file__))


class Device:
    def __init__(self, index, directory):
        self.index = index
        self.name = f"agent-{index}"
        self.directory = os.path.join(directory, self.name)
        self.config = os.path.join(self.directory, "agent.toml")
        self.id = None


class Fleet:
    def __init__(self, workspace, binaries):
        self.dir = workspace
        self.bin = binaries
        self.keys = self.path("offline-keys")
        self.repo = self.path("repo")
        self.passphrase = self.path("passphrase")
        self.server = self.path("shoald")
        self.processes = Processes(workspace)
        self.devices = []
        self.nodes = []
        self.fleet_id = None

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def program(self, name):
        path = os.path.join(self.bin, name)
        if not os.access(path, os.X_OK):
            raise DemoError(f"{path} is missing: build first (deploy/quickstart does)")
        return path

    # Offline: a laptop in a safe, in real life.
    def sign(self, *arguments, keys=None, repo=None):
        return run([self.program("shoal-sign"), *arguments,
                    "--keys", keys or self.keys, "--repo", repo or self.repo,
                    "--passphrase-file", self.passphrase])[1]

    def cli(self, *arguments, check=True):
        return run_json([self.program("shoal"), "--context-dir",
                         self.path("context"), "--output", "json", *arguments],
                        check)

    # Setting up
    def make_keys(self):
        with open(self.passphrase, "w", encoding="utf-8") as file:
            file.write("a passphrase for a demonstration\n")
        os.chmod(self.passphrase, 0o600)
        run([self.program("shoald"), "init", "--data", self.server,
             "--fleet", "quickstart"])
        self.sign("init", "--online",
                  os.path.join(self.server, "online-public.json"),
                  "--kdf", "interactive")
        with open(os.path.join(self.repo, "metadata", "1.root.json"), "rb") as f:
            self.fleet_id = hashlib.sha256(f.read()).hexdigest()
        self.sign("device-type", "add", TYPE, "--kdf", "interactive")
        run([self.program("shoal"), "operator", "create", "demo", "--out",
             self.path("operator")])
        self.write_policy(1, ["*"])
        self.sign("policy", "set", self.path("policy-1.json"))
        run([self.program("shoald"), "import", "--data", self.server, self.repo])

    def write_policy(self, version, commands):
        with open(self.path("operator", "operator.json"), encoding="utf-8") as f:
            operator = json.load(f)
        operator["roles"] = ["admin"]
        policy = {
            "version": version,
            "operators": [operator],
            "rules": [
                {"name": "operate", "principals": ["role:admin"],
                 "actions": ["release.*", "rollout.*", "device.*", "node.*",
                             "policy.*", "telemetry.*", "audit.*"]},
                {"name": "halt-devices", "principals": ["role:admin"],
                 "actions": ["rollout.halt", "telemetry.read"],
                 "devices": {"all": True}},
                {"name": "update", "principals": ["director"],
                 "actions": ["update.install"], "devices": {"all": True}},
                {"name": "support", "principals": ["role:admin"],
                 "actions": [f"command.run:{c}" for c in commands],
                 "devices": {"all": True}},
            ],
        }
        with open(self.path(f"policy-{version}.json"), "w", encoding="utf-8") as f:
            json.dump(policy, f, indent=2)

    def start_plane(self):
        self.processes.start("shoald", [
            self.program("shoald"), "--config",
            os.path.join(self.server, "shoald.toml")])
        return self.processes.ready("shoald")

    def connect(self, plane):
        run([self.program("shoal"), "--context-dir", self.path("context"),
             "context", "add", "demo", "--server", plane["api"],
             "--server-cert", os.path.join(self.server, "server.crt"),
             "--operator", self.path("operator")])

    def start_nodes(self, count):
        for i in range(1, count + 1):
            name = f"node-{i}"
            directory = self.path(name)
            run([self.program("shoal-node"), "init", "--data", directory,
                 "--id", name, "--fleet", self.fleet_id])
            self.nodes.append(name)
        # Two rounds: the bundles of the second round name every node.
        for _ in range(2):
            for name in self.nodes:
                self.cli("node", "enroll", "--request",
                         self.path(name, "enroll-request.json"), "--out",
                         self.path(name, "bundle.pb"))
        for name in self.nodes:
            self.start_node(name)
        for name in self.nodes:
            self.processes.ready(name)
        self.name_time_keys()

    def name_time_keys(self):
        """Devices without a clock believe these nodes about the time."""
        keys = []
        for name in self.nodes:
            keys += ["--add", self.path(name, f"{name}-time.pub")]
        self.sign("rotate", "time", *keys)
        self.cli("trust", "publish", self.repo)

    def start_node(self, name):
        self.processes.start(name, [
            self.program("shoal-node"), "--config",
            self.path(name, "node.toml")])

    def add_devices(self, count, factory_image):
        for i in range(1, count + 1):
            device = Device(i, self.dir)
            ticket = self.path(f"ticket-{i}")
            self.cli("device", "ticket", "--type", TYPE, "--out", ticket)
            run([self.program("shoal-agent"), "init", "--data",
                 device.directory, "--type", TYPE, "--ticket-file", ticket,
                 "--image", factory_image])
            self.configure(device)
            self.devices.append(device)
        for device in self.devices:
            self.processes.start(device.name, [
                self.program("shoal-boot"), "--config", device.config])

    def configure(self, device):
        """The device owner's own decisions: health check, commands, pace."""
        health = os.path.join(DEMO, "health-check")
        with open(device.config, encoding="utf-8") as config:
            text = config.read()
        slow = 'interval = "60s"'
        if slow not in text:
            raise DemoError(f"{device.config} has no {slow}")
        with open(device.config, "w", encoding="utf-8") as config:
            config.write(text.replace(slow, 'interval = "2s"') + f"""
[health]
command = ["{health}"]
timeout = "20s"

[commands.uptime]
program = "/usr/bin/uptime"
""")

    def check_devices(self):
        for device in self.devices:
            if not self.processes.running(device.name):
                raise DemoError(f"{device.name} ended\n"
                                + tail(self.processes.log(device.name)))

    def status(self, device):
        code, status = run_json([self.program("shoal-agent"), "status",
                                 "--config", device.config, "--output", "json"],
                                check=False)
        return status if code == 0 else {}

    def wait_paired(self, timeout):
        def all_paired():
            self.check_devices()
            for device in self.devices:
                if device.id is None:
                    device.id = self.status(device).get("device_id") or None
            return all(d.id for d in self.devices)
        wait_for("all devices to pair", all_paired, timeout,
                 [self.processes.log(d.name) for d in self.devices],
                 lambda: "{} of {} paired".format(
                     sum(1 for d in self.devices if d.id), len(self.devices)))

    def on_version(self, version):
        return [d for d in self.devices
                if self.status(d).get("running", {}).get("version") == version]

    def wait_version(self, version, timeout):
        wait_for(f"all devices to run {version}",
                 lambda: len(self.on_version(version)) == len(self.devices),
                 timeout,
                 [self.processes.log(d.name) for d in self.devices],
                 lambda: "{} of {} run {}".format(
                     len(self.on_version(version)), len(self.devices), version))

    # Releases and rollouts
    def release(self, version, counter, image):
        self.sign("image", "add", "--type", TYPE, "--version", version,
                  "--counter", str(counter), image)
        return self.cli("release", "create", "--repo", self.repo, "--type",
                        TYPE, "--version", version)[1]

    def rollout(self, rollout_id, version, *phases, policy=""):
        """Phases, or the text of a policy file."""
        arguments = ["rollout", "create", "--release", f"{TYPE}/{version}",
                     "--id", rollout_id, "--unattended", "--wait-published"]
        if policy:
            arguments += ["-f", self.path(f"{rollout_id}.yaml")]
            with open(arguments[-1], "w", encoding="utf-8") as file:
                file.write(policy)
        for phase in phases:
            arguments += ["--phase", phase]
        return self.cli(*arguments)[1]

    def rollout_state(self, rollout_id):
        return self.cli("rollout", "get", rollout_id)[1]

    def remove(self):
        self.processes.stop_all()
        shutil.rmtree(self.dir, ignore_errors=True)
