#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/sbom: it says what the loader would load, as a CycloneDX validator takes it."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("", "packages", "consumers")]
import built  # noqa: E402
import dpkg  # noqa: E402
import npm  # noqa: E402
import tap  # noqa: E402

SBOM = ROOT / "tools" / "sbom"
PROGRAMS = {"smartmeterd": ("usr/sbin/smartmeterd",),
            "smartmeterctl": ("usr/bin/smartmeterctl", "usr/bin/metersim")}
# Read by people, and fine beside Apache-2.0: permissive, or for libraries that are linked.
COMPATIBLE = {
    "Apache-2.0", "BSD-3-Clause", "LGPL-2.1-or-later",
    "GPL-3.0-or-later WITH GCC-exception-3.1", "LGPL-2.1-or-later OR MIT", "MIT", "blessing",
    "EPL-2.0 OR BSD-3-Clause", "X11-distribute-modifications-variant"}
VALIDATOR = """
const {Validation, Spec} = require("@cyclonedx/cyclonedx-library");
const expression = require("spdx-expression-parse");
const text = require("fs").readFileSync(0, "utf8");
new Validation.JsonStrictValidator(Spec.Version.v1dot5).validate(text).then((wrong) => {
  if (wrong !== null) throw new Error(JSON.stringify(wrong, null, 1));
  for (const component of JSON.parse(text).components)
    for (const licence of component.licenses) expression(licence.expression);
}).catch((error) => { console.error(error.message); process.exit(1); });
"""


def run(*command, **settings):
    return subprocess.run(command, capture_output=True, text=True, check=True, **settings).stdout


def loaded(program):
    """The libraries that the loader finds for a program and for its libraries: name -> path."""
    return dict(re.findall(r"(?m)^\s+(\S+) => (\S+)", run("ldd", str(program))))


class Sbom(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.debs = [built.deb(name) for name in PROGRAMS]
        cls.text = run(SBOM, *cls.debs)
        cls.bom = json.loads(cls.text)
        cls.libraries = {component["name"]: component for component in cls.bom["components"]
                         if component["type"] == "library"}

    def test_every_library_of_the_programs_is_listed_and_no_other(self):
        wanted = {}
        for deb, names in zip(self.debs, PROGRAMS.values()):
            with tempfile.TemporaryDirectory() as directory:
                run("dpkg-deb", "--extract", str(deb), directory)
                for name in names:
                    paths = loaded(os.path.join(directory, name))
                    named = re.findall(r"(?m)^  NEEDED +(\S+)$",
                                       run("objdump", "-p", os.path.join(directory, name)))
                    wanted.setdefault(deb, set()).update(
                        dpkg.package_of(paths[each]) for each in named if each in paths)
        headers = {"libcli11-dev"}
        self.assertEqual(set(self.libraries), set().union(*wanted.values()) | headers)
        references = {component["bom-ref"]: component["name"]
                      for component in self.bom["components"]}
        dependencies = {references.get(each["ref"]): {references[name]
                                                      for name in each["dependsOn"]}
                        for each in self.bom["dependencies"]}
        for deb, packages in wanted.items():
            self.assertEqual(dependencies[deb.name.partition("_")[0]], packages | headers)
        self.assertEqual(dependencies[None], set(PROGRAMS))

    def test_versions_are_those_of_debian(self):
        for name, component in self.libraries.items():
            self.assertEqual(component["version"], run("dpkg-query", "-W", "-f", "${Version}\n",
                                                       name).splitlines()[0])

    def test_licences_go_with_ours(self):
        for component in self.bom["components"]:
            licence, = component["licenses"]
            self.assertIn(licence["expression"], COMPATIBLE, component["name"])

    def test_a_library_without_a_known_licence_is_an_error(self):
        text = SBOM.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as directory:
            copy = pathlib.Path(directory) / "tools" / "sbom"
            copy.parent.mkdir()
            copy.write_text(text.replace('    "liburing": "LGPL-2.1-or-later OR MIT",\n', ""))
            (pathlib.Path(directory) / "debian").symlink_to(ROOT / "debian")
            done = subprocess.run([sys.executable, copy, *self.debs], capture_output=True,
                                  text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no licence is known of liburing2", done.stderr)

    def test_the_hour_changes_nothing(self):
        self.assertEqual(run(SBOM, *self.debs), self.text)
        later = json.loads(run(SBOM, *self.debs, env=os.environ | {"SOURCE_DATE_EPOCH": "0"}))
        self.assertEqual(later["metadata"]["timestamp"], "1970-01-01T00:00:00+00:00")

    def test_a_validator_takes_it(self):
        directory = npm.installed(**{
            "@cyclonedx/cyclonedx-library": "7.0.0", "ajv": "8.17.1", "ajv-formats": "3.0.1",
            "ajv-formats-draft2019": "1.6.1"})
        command = ["node", "-e", VALIDATOR]
        done = subprocess.run(command, cwd=directory, input=self.text, capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        wrong = self.text.replace('"type": "library"', '"type": "book"')
        self.assertNotEqual(subprocess.run(command, cwd=directory, input=wrong, text=True,
                                           capture_output=True, check=False).returncode, 0)

    def test_what_is_not_there_is_said(self):
        done = subprocess.run([SBOM, "/nowhere.deb"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("there is no /nowhere.deb", done.stderr)
        done = subprocess.run([SBOM, __file__], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("sbom_test.py is no Debian package", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_packages_of_another_architecture_are_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            control = pathlib.Path(directory) / "x" / "DEBIAN" / "control"
            control.parent.mkdir(parents=True)
            control.write_text("Package: x\nVersion: 1\nArchitecture: s390x\n"
                               "Maintainer: x <x@example.org>\nDescription: x\n")
            run("dpkg-deb", "--build", "x", "x.deb", cwd=directory)
            done = subprocess.run([SBOM, pathlib.Path(directory) / "x.deb"], capture_output=True,
                                  text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("is for s390x, and this machine", done.stderr)


if __name__ == "__main__":
    tap.main()
