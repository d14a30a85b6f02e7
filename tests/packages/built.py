# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of the present tree, for the tests that install them.

They are built once for each content of the tree and kept in ~/.cache/smartmeterd-packages.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import cache  # noqa: E402

# What no package is made from; the directories of builds have names that begin so.
LEFT_OUT = (".git", ".ci", "tests", "__pycache__")
BUILDS = "build"
FORMER = "0.0.9"
# Debian's packages that ours depend on, byte by byte.
TOOLS = ("debhelper", "dpkg-dev", "g++*", "lib*-dev", "meson", "scdoc")


def files():
    """What the packages are made from: also what is not committed."""
    for directory, names, paths in os.walk(ROOT):
        at_top = directory == str(ROOT)
        names[:] = sorted(name for name in names if name not in LEFT_OUT
                          and not (at_top and name.startswith(BUILDS)))
        yield from (pathlib.Path(directory, name) for name in sorted(paths))


def tree_key():
    """One for each content of the tree and each set of versions that it is built with."""
    key = hashlib.sha256(subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Architecture} ${Version}\n", *TOOLS],
        check=False, capture_output=True).stdout)
    for path in files():
        key.update(f"{path.relative_to(ROOT)} {os.access(path, os.X_OK)}\0".encode())
        key.update(hashlib.sha256(path.read_bytes()).digest())
    return key.hexdigest()[:16]


def build(directory, tree=ROOT, **environment):
    """Builds the packages of a tree into a directory that is there afterwards, and whole."""
    scratch = pathlib.Path(tempfile.mkdtemp(dir=directory.parent, prefix=".packages-"))
    try:
        command = subprocess.run([tree / "tools" / "package", "--output", scratch],
                                 env=os.environ | environment, stdin=subprocess.DEVNULL,
                                 capture_output=True, text=True, check=False)
        if command.returncode != 0:
            raise AssertionError(f"tools/package failed:\n{command.stderr[-8000:]}")
        scratch.chmod(0o755)
        scratch.rename(directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def debs():
    """The directory of this machine's packages of the present tree."""
    return cache.kept("smartmeterd-packages", tree_key(), build)


def deb(name):
    """The file of one of these packages: "smartmeterd" or "smartmeterctl"."""
    found, = debs().glob(f"{name}_*.deb")
    return found


def former(directory, version=FORMER):
    """Packages like these of a version in a directory: without one, what an upgrade starts
    from. Their configuration file and their unit say so, in a comment more.
    """
    for package in sorted(debs().glob("*.deb")):
        name = package.name.partition("_")[0]
        tree = pathlib.Path(directory) / name
        subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
        control = tree / "DEBIAN" / "control"
        control.write_text(re.sub("(?m)^Version: .*$", f"Version: {version}", control.read_text()))
        for path in (*tree.glob("etc/smartmeterd/*.toml"),
                     *tree.glob("lib/systemd/system/smartmeterd.service")):
            path.write_text(f"# Of version {version}.\n" + path.read_text())
        (tree / "DEBIAN" / "md5sums").unlink()
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, directory], check=True,
                       stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)
    return sorted(pathlib.Path(directory).glob("*.deb"))
