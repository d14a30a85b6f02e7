# SPDX-License-Identifier: Apache-2.0
"""Runs unittest cases and prints TAP, so that meson counts and names each of them.

Names of classes or tests as arguments: these alone, in the order of the module. With meson:
meson test -C build NAME --test-args "Class Other.test_something"
"""

import sys
import unittest


class TapResult(unittest.TestResult):
    """One TAP line for each test when it is over."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream
        self.count = 0

    def line(self, status, test, note=""):
        self.count += 1
        self.stream.write(f"{status} {self.count} {test.id().partition('.')[2]}{note}\n")
        self.stream.flush()

    def explain(self, test, error):
        print(self._exc_info_to_string(error, test), file=sys.stderr)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("ok", test, f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.explain(test, err)
        self.line("not ok", test)

    def addError(self, test, err):
        super().addError(test, err)
        self.explain(test, err)
        self.line("not ok", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.explain(subtest, err)
            self.line("not ok", subtest)


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def selected(suite, names):
    """The tests that are named by themselves or by their class, in the suite's order."""
    chosen = unittest.TestSuite()
    unknown = set(names)
    for test in flat(suite):
        class_name, method = test.id().split(".")[-2:]
        by = {class_name, f"{class_name}.{method}"}
        if by & set(names):
            chosen.addTest(test)
            unknown -= by
    if unknown:
        sys.exit(f"no such test: {', '.join(sorted(unknown))}")
    return chosen


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    if sys.argv[1:]:
        suite = selected(suite, sys.argv[1:])
    result = TapResult(sys.stdout)
    suite.run(result)
    print(f"1..{result.count}")
    sys.exit(0 if result.wasSuccessful() and result.count else 1)
