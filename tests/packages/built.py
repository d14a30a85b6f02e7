# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of the present tree, for the tests that install them.

They are built once for each content of the tree and kept in ~/.cache/smartmeterd-packages.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import cache  # noqa: E402

# What tools/package copies and no package is made from.
LEFT_OUT = re.compile(r"\./(\.ci|tests)(/|$)")
# What changes how a package is built: for whoever asks for it, not for what is kept.
BUILD_SETTINGS = re.compile(r"DEB_.*|DH_.*|(C|CXX|CPP|LD)FLAGS")
FORMER = "0.0.9"
# Debian's packages that ours depend on, byte by byte.
TOOLS = ("debhelper", "dpkg-dev", "g++*", "lib*-dev", "meson", "scdoc")


@contextlib.contextmanager
def source(tree=ROOT):
    """An open tar file of what tools/package builds from: also what is not committed."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        subprocess.run([tree / "tools" / "package", "--source", file.name], check=True)
        with tarfile.open(file.name) as tar:
            yield tar


def tree_key():
    """One for each content of the tree and each set of versions that it is built with."""
    key = hashlib.sha256(subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Architecture} ${Version}\n", *TOOLS],
        check=False, capture_output=True).stdout)
    with source() as tar:
        for member in sorted(tar, key=lambda member: member.name):
            if member.isdir() or LEFT_OUT.match(member.name):
                continue
            key.update(f"{member.name} {member.mode & 0o100} {member.linkname}\0".encode())
            if member.isreg():
                key.update(hashlib.sha256(tar.extractfile(member).read()).digest())
    return key.hexdigest()[:16]


def build(directory, tree=ROOT, **environment):
    """Builds the packages of a tree into a directory that is there afterwards, and whole."""
    plain = {name: value for name, value in os.environ.items()
             if not BUILD_SETTINGS.fullmatch(name)}
    scratch = pathlib.Path(tempfile.mkdtemp(dir=directory.parent, prefix=".packages-"))
    try:
        command = subprocess.run([tree / "tools" / "package", "--output", scratch],
                                 env=plain | environment, stdin=subprocess.DEVNULL,
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
