#!/usr/bin/env python3
"""docs/threat-model.md: every test that it names exists, every row has its line."""
import os
import re
import sys


def sources(root):
    for directory, _, names in os.walk(root):
        for name in names:
            if name.endswith(".cc"):
                with open(os.path.join(directory, name), encoding="utf-8") as f:
                    yield f.read()


def main():
    root = sys.argv[1]
    with open(os.path.join(root, "docs", "threat-model.md"), encoding="utf-8") as f:
        model = f.read()
    named = set(re.findall(r"`(\w+\.(?:T\d\d_)+\w+)`", model))
    written = {f"{suite}.{test}"
               for text in sources(os.path.join(root, "tests"))
               for suite, test in re.findall(
                   r"TEST(?:_F|_P)?\(\s*(\w+),\s*((?:T\d\d_)+\w+)\)", text)}
    rows = set(re.findall(r"^\| (T\d\d) ", model, re.M))
    problems = [f"docs/threat-model.md names {t}, which no test has"
                for t in sorted(named - written)]
    problems += [f"docs/threat-model.md has no row {row} of {t}"
                 for t in sorted(written)
                 for row in re.findall(r"T\d\d", t.split(".")[1])
                 if row not in rows]
    for problem in problems:
        print(problem)
    return 1 if problems or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
