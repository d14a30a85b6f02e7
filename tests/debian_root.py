#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A clean Debian 12, installed and configured as on a machine of its own, and chroots made of it.

    with debian_root.unpacked(debian_root.root(["adduser"])) as chroot:
        chroot.shell("apt-get update && apt-get install -y nano")

Packages come from where this machine's apt gets them. Roots are kept in ~/.cache/smartmeterd-root,
one for each list of packages. None of it needs root where this machine has subordinate users for
mmdebstrap and unshare (/etc/subuid). Commands in a chroot see this machine's network, but neither
its devices (only null and its like), nor its processes, nor /sys; nothing stays mounted.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

import cache

CODENAME = "bookworm"
LIMIT_S = 1800
# With the programs that only root usually runs.
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
# In a mount namespace of its own. Arguments: the root, pairs of what is bound to where, "--", the
# command.
ENTER = r"""
set -eu
root=$1; shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
  : >"$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else [ -e "$root$2" ] || : >"$root$2"; fi
  mount --rbind "$1" "$root$2"
  shift 2
done
shift
exec chroot "$root" "$@"
"""


class Unavailable(unittest.SkipTest):
    """This machine cannot make it. The message says why."""


def unavailable(reason):
    """What is to be raised: skips the tests that need it, but never on CI."""
    return (AssertionError if os.environ.get("CI") == "true" else Unavailable)(reason)


class Failed(AssertionError):
    """A command in a chroot has failed."""


def run(*command, **options):
    """The output of a program of this machine."""
    environment = os.environ | {"PATH": PATH, "LC_ALL": "C"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment,
                          **options).stdout


class Apt:
    """apt with this machine's sources and settings, and a state of its own in which no package is
    installed: nothing is taken from the machine's package lists and nothing needs root.
    """

    def __init__(self, directory):
        self.archives = directory / "archives"
        (directory / "lists" / "partial").mkdir(parents=True)
        (self.archives / "partial").mkdir(parents=True)
        (directory / "status").touch()
        self.options = [f"-o{name}={value}" for name, value in (
            ("Dir::State", directory), ("Dir::State::status", directory / "status"),
            ("Dir::Cache", directory), ("Dir::Cache::archives", self.archives),
            ("Debug::NoLocking", "true"), ("APT::Sandbox::User", ""),
            ("Acquire::Languages", "none"), ("Acquire::Retries", "3"))]
        self.get("update")

    def download(self, packages, recommended=False):
        """The .deb files of the packages and of all that they depend on and is not installed."""
        self.get("--yes", "--download-only", f"-oAPT::Install-Recommends={recommended}", "install",
                 *packages)
        return sorted(self.archives.glob("*.deb"))

    def sources(self, updates):
        """Lines for a sources.list: those of this machine's sources that are Debian 12."""
        targets = self.get("indextargets", "--format",
                           "$(ORIGIN) $(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)",
                           "Created-By: Packages")
        return sorted({"deb " + line.split(" ", 2)[2] for line in targets.splitlines()
                       if re.match(f"Debian {CODENAME}{updates} ", line)})

    def get(self, *arguments, **options):
        try:
            return run("apt-get", "-qq", *self.options, *arguments, **options)
        except subprocess.CalledProcessError as error:
            raise unavailable(f"apt-get {arguments[0]}: {error.stderr.strip()}") from error


def proxies():
    """What this machine's apt is told of proxies."""
    settings = run("apt-config", "dump", "--format", '%f "%v";%n', "Acquire").splitlines()
    return [setting for setting in settings if "::proxy" in setting.lower()]


def build(directory, packages, architectures, updates, setup):
    with tempfile.TemporaryDirectory(prefix="smartmeterd-root-") as scratch:
        sources = Apt(pathlib.Path(scratch)).sources(updates)
    if not sources:
        raise unavailable(f"this machine's apt has no source of Debian 12 ({CODENAME})")
    part = directory.with_name(f"{directory.name}.part")  # a run that is killed leaves no root
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}",
            f"--architectures={','.join(architectures)}",
            *(f"--aptopt={setting}" for setting in proxies()),
            *([f'--customize-hook=chroot "$1" sh -euc {shlex.quote(setup)}'] if setup else []),
            CODENAME, str(part / "root.tar"), *sources)
        # It has said that all is well and left an empty file.
        run("tar", "-tf", str(part / "root.tar"), "./var/lib/dpkg/status")
    except subprocess.CalledProcessError as error:
        shutil.rmtree(part)
        raise unavailable(f"{error.cmd[0]}: {error.stderr.strip()[-2000:]}") from error
    part.rename(directory)


def root(packages=(), architecture=None, updates="(-updates|-security)?", setup=""):
    """A tar file with a Debian 12 with these packages besides the required ones, and apt.

    `architecture` is this machine's unless given; "amd64,arm64" is an amd64 which knows arm64 too.
    Without `updates` it is as it was released; `setup` is a script that is run in it at last.
    """
    if not shutil.which("mmdebstrap"):
        raise unavailable("mmdebstrap is not installed: tools/install-packages roots")
    architectures = (architecture or run("dpkg", "--print-architecture").strip()).split(",")
    packages = sorted({"apt", *packages})
    key = hashlib.sha256(repr((CODENAME, packages, architectures, updates, setup,
                               proxies())).encode()
                         + pathlib.Path(__file__).read_bytes())
    return cache.kept("smartmeterd-root", key.hexdigest()[:16],
                      lambda directory: build(directory, packages, architectures, updates,
                                              setup)) / "root.tar"


def as_root():
    """What a command begins with that is to be root, in a user namespace unless it is already."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare"]  # never outlives the test
    if os.geteuid() != 0:
        command += ["--user", "--map-auto", "--map-root-user"]
    return command


class Chroot:
    """A root that is unpacked in a directory, `path`."""

    def __init__(self, path):
        self.path = path

    def command(self, *command, environment=(), binds=(), network=True):
        """The command of this machine that runs one in the chroot, as root and with an environment
        of its own. `binds`: pairs of what of this machine is seen where in the chroot.
        """
        proxy = {name: value for name, value in os.environ.items() if name.endswith("_proxy")}
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                     "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
                     **proxy, **dict(environment)}
        return [*as_root(), "--mount", "--pid", "--fork", "--kill-child",
                *([] if network else ["--net"]), "--", "sh", "-c", ENTER, "enter", str(self.path),
                *(str(path) for pair in dict(binds).items() for path in pair), "--",
                "env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]

    def attempt(self, command, limit=LIMIT_S, **options):
        """Exit status and output, errors included, of a shell command."""
        done = subprocess.run(self.command("sh", "-c", command, **options), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=limit, check=False)
        return done.returncode, done.stdout

    def shell(self, command, **options):
        """The output, errors included, of a shell command."""
        status, output = self.attempt(command, **options)
        if status != 0:
            raise Failed(f"exit status {status}: {command}\n{output}")
        return output


@contextlib.contextmanager
def unpacked(tar):
    """A chroot of a root's tar file, while the context lasts."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="smartmeterd-chroot-"))
    try:
        chroot = Chroot(scratch / "root")
        chroot.path.mkdir()
        run(*as_root(), "--", "tar", "-C", str(chroot.path), "--numeric-owner", "--exclude=./dev/*",
            "-xpf", str(tar))
        shutil.copyfile("/etc/resolv.conf", chroot.path / "etc/resolv.conf")
        yield chroot
    finally:
        run(*as_root(), "--", "rm", "-rf", "--one-file-system", str(scratch))


if __name__ == "__main__":
    print(root(sys.argv[1:]))
