#!/usr/bin/env python3
"""READELF SHOAL_TUF: it is linked dynamically, and with no gRPC."""
import re
import subprocess
import sys


def main():
    readelf, program = sys.argv[1:]
    out = subprocess.run([readelf, "-d", program], check=True, capture_output=True,
                         text=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", out)
    problems = [f"{program} needs {lib}" for lib in needed
                if re.search("grpc|gpr|upb|rocksdb|opendht|torrent", lib)]
    # Otherwise a static one, or a readelf with other words, would pass.
    for wanted in ("libcurl", "libsodium", "libc."):
        if not any(lib.startswith(wanted) for lib in needed):
            problems.append(f"{program} needs no {wanted}: {needed}")
    print("\n".join(problems) or "\n".join(needed))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
