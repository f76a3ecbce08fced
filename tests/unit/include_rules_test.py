#!/usr/bin/env python3
"""The include rules of docs/architecture.md: a folder is a trust boundary.

Reads every source file and fails with a line for each forbidden include.
Run with a directory to check another tree (the test of the test does).
"""
import os
import re
import sys

SOURCES = ["common", "rules", "signing", "delta", "dht", "server", "agent",
           "sim"]

# folder → prefixes of our own headers that it may include, beside its own.
ALLOWED = {
    "common": [],
    "rules": ["common/", "shoal/"],
    "signing": ["common/", "shoal/", "rules/"],
    "delta": ["common/", "shoal/"],
    "dht": ["common/", "shoal/"],
    "server": ["common/", "shoal/", "rules/", "signing/", "delta/", "dht/"],
    "agent": ["common/", "shoal/", "rules/", "signing/log/", "signing/metadata/",
              "signing/verify/", "dht/"],
    # Devices in one process: what a device may include, and the agent itself.
    "sim": ["common/", "shoal/", "rules/", "signing/verify/",
            "dht/records/", "agent/"],
}
# A longer path beats its folder.
ALLOWED_IN = {
    "dht/node": ["common/", "shoal/", "dht/", "signing/log/", "signing/metadata/",
                 "signing/verify/"],
    # Devices link it: no engine but the records' own.
    "dht/metadata": ["common/", "shoal/", "dht/records/", "signing/log/",
                     "signing/metadata/", "signing/verify/"],
    # Nodes, plane and tool link it: it may drag nothing along.
    "dht/node_client": ["common/", "shoal/"],
    # What the device may link of signing must not pull in secret-key code.
    "signing/metadata": ["common/"],
    "signing/log": ["common/"],
    "signing/verify": ["common/", "shoal/", "rules/", "signing/log/",
                       "signing/metadata/"],
    "signing/sign": ["common/", "shoal/", "rules/", "signing/metadata/",
                     "signing/verify/"],
    # A program of its own over what devices verify with; never secret keys.
    "signing/client": ["common/", "signing/metadata/", "signing/verify/"],
    # What a device links of images must not pull in what analyses them.
    "delta/image": ["common/", "delta/format/"],
    "delta/image/analyze": ["common/", "delta/image/"],
    "delta/apply": ["common/", "delta/format/", "delta/entropy/",
                    "delta/image/"],
    # The maker applies its own patch before anybody sees it.
    "delta/make": ["common/", "delta/format/", "delta/apply/",
                   "delta/entropy/", "delta/image/"],
    "agent/patch": ["common/", "delta/apply/", "delta/format/"],
}
FORBIDDEN_IN = {
    "delta/apply": ["delta/image/analyze/"],
    "agent": ["common/kv/"],
    "sim": ["common/kv/"],
    "dht/records": ["common/kv/"],
    "dht/metadata": ["common/kv/"],
    "dht/swarm": ["common/kv/"],
    "dht/node_client": ["common/kv/"],
}
# Engine → the only folders that may see its headers.
ENGINES = {
    r"rocksdb/": ["common/kv"],
    r"opendht[./]": ["dht/records"],
    r"libtorrent/": ["dht/swarm"],
    r"curl/": ["dht/swarm", "signing/client"],
    r"prometheus/": ["common/metrics"],
    r"microhttpd\.h": ["dht/swarm"],
    r"sodium[./]": ["common/crypto"],
    r"openssl/": ["common/crypto"],
    r"grpcpp/|grpc/|.*\.grpc\.pb\.h": ["server", "dht/node", "dht/node_client"],
    r"divsufsort": ["delta/make"],
    r"bzlib\.h": ["delta/apply", "delta/make"],
    r"lzma\.h|lz4(hc)?\.h|zlib\.h": ["delta/image"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def files(root):
    for folder in SOURCES:
        for directory, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith((".h", ".cc", ".c", ".hpp", ".cpp")):
                    yield os.path.relpath(os.path.join(directory, name), root)


def within(path, folder):
    return path == folder or path.startswith(folder + "/")


def allowed_prefixes(path):
    for folder in sorted(ALLOWED_IN, key=len, reverse=True):
        if within(path, folder):
            return [folder + "/"] + ALLOWED_IN[folder]
    top = path.split("/")[0]
    return [top + "/"] + ALLOWED[top]


def check(root):
    problems, count = [], 0
    for path in files(root):
        count += 1
        # A program's main may wire anything.
        is_main = os.path.basename(path) == "main.cc"
        with open(os.path.join(root, path), encoding="utf-8") as source:
            for number, line in enumerate(source, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                header = match.group(2)
                where = f"{path}:{number}: {header}"
                for engine, homes in ENGINES.items():
                    if re.match(engine, header) and not any(
                            within(path, home) for home in homes):
                        problems.append(f"{where}: belongs inside {homes}")
                ours = match.group(1) == '"' and header.split("/")[0] in (
                    SOURCES + ["shoal", "tests"])
                if not ours or is_main:
                    continue
                if not any(header.startswith(p) for p in allowed_prefixes(path)):
                    problems.append(f"{where}: not an allowed include here")
                for folder, banned in FORBIDDEN_IN.items():
                    if within(path, folder) and any(
                            header.startswith(b) for b in banned):
                        problems.append(f"{where}: forbidden in {folder}")
    return problems, count


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "..")
    problems, count = check(root)
    for problem in problems:
        print(problem)
    print(f"{count} files, {len(problems)} forbidden includes")
    if count == 0:
        print("no sources found: wrong directory?")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
