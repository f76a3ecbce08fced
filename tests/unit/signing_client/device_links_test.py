#!/usr/bin/env python3
"""NM SHOAL_TUF PROGRAM…: verification by PEM keys is in the first program only."""
import subprocess
import sys

SYMBOL = "VerifyWithDerKey"


def has(nm, program):
    out = subprocess.run([nm, program], check=True, capture_output=True, text=True)
    return SYMBOL in out.stdout


def main():
    nm, client, *devices = sys.argv[1:]
    # Otherwise a renamed function would pass for ever.
    problems = [] if has(nm, client) else [f"{client} has no {SYMBOL}"]
    problems += [f"{d} links {SYMBOL}" for d in devices if has(nm, d)]
    print("\n".join(problems) or f"{len(devices)} programs without {SYMBOL}")
    return 1 if problems or not devices else 0


if __name__ == "__main__":
    sys.exit(main())
