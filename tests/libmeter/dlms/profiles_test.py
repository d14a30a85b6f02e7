#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The compiler of profiles: what it refuses, and that it says where."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["SOURCE_ROOT"]
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

PROFILES = os.path.join(ROOT, "libmeter", "meter", "dlms", "profiles")
COMPILER = os.path.join(PROFILES, "compile_profiles.py")


def compiled(*texts):
    """(exit status, what was said, with the files called 0, 1 …) of profiles with that content."""
    with tempfile.TemporaryDirectory() as directory:
        paths = []
        for number, text in enumerate(texts):
            paths.append(os.path.join(directory, str(number)))
            with open(paths[-1], "w", encoding="utf-8") as profile:
                profile.write(text)
        run = subprocess.run([sys.executable, COMPILER, os.path.join(directory, "out.cpp"), *paths],
                             capture_output=True, text=True, check=False)
        return run.returncode, run.stderr.replace(directory + "/", "").strip()


def one_list(lines, kind="positions", name="one"):
    return f"family Meters\n{kind} {name}\n" + "".join(f"  {line}\n" for line in lines)


class Compiler(unittest.TestCase):
    def refused(self, where, why, *texts):
        status, said = compiled(*texts)
        self.assertEqual(status, 1, said)
        self.assertTrue(said.startswith(where + ": "), said)
        self.assertIn(why, said)

    def test_every_profile_is_compiled(self):
        with open(os.path.join(ROOT, "libmeter", "meter", "dlms", "meson.build"),
                  encoding="utf-8") as text:
            build = text.read()
        for name in os.listdir(PROFILES):
            if name.endswith(".profile"):
                self.assertIn(f"'profiles/{name}'", build)

    def test_a_small_one_is_good(self):
        self.assertEqual(compiled(one_list(["text 0-0:96.1.0 id", "u32 1-0:1.8.0 10 Wh"])), (0, ""))

    def test_file_and_line_are_named(self):
        good = one_list(["u8 1-0:1.8.0 Wh"])
        self.refused("1:4", "unknown type 'u33'", good,
                     one_list(["text 0-0:96.1.0", "u8|u33 1-0:1.8.0"], name="two"))
        self.refused("0:3", "'1.8.0' is no OBIS code", one_list(["u32 1.8.0 Wh"]))
        self.refused("0:3", "a unit follows '0.1'", one_list(["u32 1-0:1.8.0 0.1"]))
        self.refused("0:3", "no power of ten", one_list(["u32 1-0:1.8.0 0.5 Wh"]))
        self.refused("0:3", "unknown 'kWh'", one_list(["u32 1-0:1.8.0 kWh"]))
        self.refused("0:3", "only a number has a unit", one_list(["text 1-0:1.8.0 Wh"]))
        self.refused("0:3", "without a code", one_list(["u32 - Wh"]))
        self.refused("0:3", "octets have a size", one_list(["octets 0-0:96.14.0"]))
        self.refused("0:1", "unknown 'famly'", "famly Meters\n")
        self.refused("0:1", "the file begins with", "positions one\n")
        self.refused("0:2", "no elements", one_list([]))
        self.refused("0:2", "nothing of it has a code", one_list(["u32 -"]))
        self.refused("0:2", "more than one id",
                     one_list(["text 0-0:96.1.0 id", "text 0-0:42.0.0 id"]))
        self.refused("0:2", "'entries' is missing",
                     one_list(["list array", "begins code"], kind="codes"))
        self.refused("0:3", "unknown magnitude 'Energy'",
                     one_list(["scale Energy 1"], kind="codes"))
        self.refused("0:4", "no element above",
                     one_list(["u32 1-0:1.8.0 Wh", "adds-up 1-0:1.8.0 = 1-0:1.8.1 + 1-0:1.8.2"]))

    def ambiguous(self, one, two, kind="positions"):
        return compiled(one_list(one, kind), one_list(two, kind, "two"))

    def test_lists_that_nothing_tells_apart_are_refused(self):
        status, said = self.ambiguous(["text 0-0:96.1.0", "u32|u64 1-0:1.8.0 Wh"],
                                      ["text 0-0:42.0.0 begins ISK", "u32 1-0:2.8.0 Wh"])
        self.assertEqual(status, 1)
        self.assertTrue(said.startswith("1:2: a telegram could be two as well as one (0:2)"), said)
        for one, two in ((["u32 1-0:1.8.0"], ["u32 1-0:2.8.0", "u32 1-0:1.8.0"]),
                         (["u32 1-0:1.8.0"], ["u16 1-0:1.8.0"]),
                         (["text 0-0:96.1.0 begins A"], ["text 0-0:96.1.0 begins B"]),
                         (["text 0-0:96.1.0"], ["date-time 0-0:1.0.0"]),
                         (["octets(2) 0-0:96.14.0"], ["octets(4) 0-0:96.14.0"]),
                         (["title LGZ", "u32 1-0:1.8.0"], ["title KFM", "u32 1-0:1.8.0"])):
            self.assertEqual(self.ambiguous(one, two), (0, ""))
        for one, two in ((["u32 1-0:1.8.0 optional", "u8 -"], ["u16 1-0:1.8.0 optional", "u8 -"]),
                         (["u32 1-0:1.8.0", "may-end", "u8 -"], ["u32 1-0:1.8.0", "u16 -", "u8 -"]),
                         (["text 0-0:96.1.0"], ["octets(4) 0-0:96.14.0"])):
            status, _ = self.ambiguous(one, two)
            self.assertEqual(status, 0 if "may-end" in one else 1, one)

    def test_codes_need_a_distinguishing_string(self):
        shape = ["list structure", "begins code", "entries pairs"]
        kind = "codes"
        self.assertEqual(self.ambiguous(shape, shape, kind)[0], 1)
        self.assertEqual(self.ambiguous(shape, shape + ["text KFM_"], kind), (0, ""))
        self.assertEqual(self.ambiguous(shape + ["title LGZ"], shape + ["text KFM_"], kind)[0], 1)
        self.assertEqual(self.ambiguous(shape + ["text KAM_"], shape + ["text KFM_"], kind),
                         (0, ""))

    def test_names_and_channels_are_taken_once(self):
        self.refused("1:2", "the name one is taken", one_list(["u8 1-0:1.8.0"]),
                     one_list(["u16 1-0:1.8.0"]))
        self.assertEqual(self.ambiguous(["channel 8"], ["channel 8"], "push-objects")[0], 1)
        self.assertEqual(self.ambiguous(["channel 8"], ["channel 8", "wide"], "push-objects"),
                         (0, ""))


if __name__ == "__main__":
    tap.main()
