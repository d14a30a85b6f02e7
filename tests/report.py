#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up the test cases of meson's logs: skipped and failed ones by name, then the totals."""

import json
import os
import re
import sys
import xml.etree.ElementTree as ElementTree

# What a machine may lack although every package is installed; anything else must run on CI.
EXCUSES = re.compile(r"corpus|capture|kernel|io_uring|(only|needs) root\b|root reads everything|"
                     r"IPv6|localhost|/run of our own", re.IGNORECASE)


def suites_by_name(path):
    """The <testsuite> elements of a JUnit file by name; none where there is no file."""
    if not os.path.exists(path):
        return {}
    return {suite.get("name"): suite for suite in ElementTree.parse(path).iter("testsuite")}


def cases_of(suites, run_name):
    """(name, "ok" | "skipped" | "failed", reason) of each case that a test reported by itself."""
    test = run_name.rpartition(" / ")[2]
    for name, suite in suites.items():
        # meson names the suites "project.<its name of the test>[.<GoogleTest's suite>]".
        _, found, group = f"{name}.".partition(f".{run_name}.")
        if not found:
            continue
        for case in suite.iter("testcase"):
            label = f"{test}: {group}{case.get('name')}"
            skipped = case.find("skipped")
            if skipped is not None:
                # GoogleTest puts "file:line\nreason" there.
                said = skipped.get("message") or case.findtext("system-out") or ""
                yield label, "skipped", said.strip().split("\n")[-1]
            elif case.find("failure") is not None or case.find("error") is not None:
                yield label, "failed", ""
            else:
                yield label, "ok", ""


def print_tables(run):
    """What a test wants everybody to see: lines of its output that begin with "table: "."""
    for line in (run.get("stdout") or "").split("\n"):
        if line.startswith("table: "):
            print(line.removeprefix("table: "))


def results_of(log_directory):
    """Every case of a test run: those that tests report, and one for each other test."""
    suites = suites_by_name(os.path.join(log_directory, "testlog.junit.xml"))
    log = os.path.join(log_directory, "testlog.json")
    if not os.path.exists(log):
        yield f"{log_directory}: no test has run", "failed", ""
        return
    with open(log, encoding="utf-8") as lines:
        runs = [json.loads(line) for line in lines]
    for run in runs:
        print_tables(run)
        test = run["name"].rpartition(" / ")[2]
        cases = list(cases_of(suites, run["name"]))
        yield from cases
        if run["result"] in ("OK", "EXPECTEDFAIL"):
            if not cases:
                yield test, "ok", ""
        elif run["result"] == "SKIP":
            if not cases:
                said = (run.get("stdout") or run.get("stderr") or "").strip()
                yield test, "skipped", said.split("\n")[-1]
        elif not any(status == "failed" for _, status, _ in cases):
            yield f"{test} ({run['result'].lower()})", "failed", ""


def main():
    on_ci = os.environ.get("CI") == "true"
    results = []
    for argument in sys.argv[1:]:  # a directory of meson's logs, or NAME=ok, NAME=failed
        name, outcome, status = argument.partition("=")
        results += [(name, status, "")] if outcome else results_of(argument)
    passed = sum(status == "ok" for _, status, _ in results)
    failed = 0
    for name, status, reason in results:
        if status == "skipped":
            print(f"skipped: {name}" + (f" ({reason})" if reason else ""))
            if on_ci and not EXCUSES.search(f"{name} {reason}"):
                print("  counts as failed: nothing but a capture or the kernel may be missing here")
                failed += 1
    for name, status, _ in results:
        if status == "failed":
            print(f"failed: {name}")
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
