# SPDX-License-Identifier: Apache-2.0
"""A Debian 12 that builds for another architecture and starts what it has built, under qemu-user.

Compilers and other programs are those of this machine's architecture, the libraries the other
one's (Debian's multiarch). This machine's own packages are not touched.
"""

import configparser
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TREE / "tests"))
import debian_root  # noqa: E402

BINFMT = pathlib.Path("/proc/sys/fs/binfmt_misc")
# A library of two architectures has to have one version, and updates do not come at one time.
UPDATES = ""


def architectures():
    """Debian's names of those that can be built for: each has a cross file."""
    return sorted(path.stem for path in pathlib.Path(__file__).parent.glob("*.ini"))


def machine():
    return debian_root.run("dpkg", "--print-architecture").strip()


def to_test(architecture):
    """What tools/packages lists without a mark; libraries for the other architecture."""
    lines = (TREE / "tools" / "packages").read_text().splitlines()
    for name in (line for line in lines if line and "#" not in line):
        is_library = name.startswith("lib") and name.endswith("-dev")
        yield f"{name}:{architecture}" if is_library else name


def root(architecture, packages=()):
    """The tar file of a Debian that has what building for the architecture needs, and packages."""
    control = (TREE / "debian" / "control").read_text()
    needs = control[control.index("Source:"):control.index("\nPackage:")]
    setup = f"""
mkdir -p /tmp/source/debian
cat >/tmp/source/debian/control <<'END'
{needs}
Package: smartmeterd
Architecture: any
END
apt-get build-dep --yes --host-architecture={architecture} --build-profiles=cross,nocheck \
  /tmp/source
rm -r /tmp/source
"""
    print(f"Making a Debian 12 that builds for {architecture}, unless there is one: some minutes",
          file=sys.stderr, flush=True)
    return debian_root.root([f"crossbuild-essential-{architecture}", "ccache", *packages],
                            updates=UPDATES, setup=setup,
                            architecture=f"{machine()},{architecture}")


@contextlib.contextmanager
def chroot(architecture, packages=()):
    """A chroot of that Debian, while the context lasts."""
    with debian_root.unpacked(root(architecture, packages)) as made:
        yield made


def run(made, *command, binds=(), **environment):
    """Runs a command in a chroot with this one's output; ccache where this machine has it."""
    binds = dict(binds)
    environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    if shutil.which("ccache"):
        cache = debian_root.run("ccache", "--get-config", "cache_dir").strip()
        os.makedirs(cache, exist_ok=True)
        binds[cache] = "/var/cache/ccache"
        environment["CCACHE_DIR"] = "/var/cache/ccache"
        environment["PATH"] = "/usr/lib/ccache:" + environment["PATH"]
    return subprocess.run(made.command(*command, environment=environment, binds=binds),
                          stdin=subprocess.DEVNULL, check=False).returncode


def cross_file(architecture):
    return TREE / "tools" / "cross" / f"{architecture}.ini"


def binary(architecture, name):
    """A program that the cross file names."""
    file = configparser.ConfigParser()
    file.read(cross_file(architecture))
    return file["binaries"][name].strip("'")


def wrapper(architecture):
    """The path of this machine's program that runs the architecture's."""
    return shutil.which(binary(architecture, "exe_wrapper"))


def start_foreign_programs(architecture):
    """From now on the kernel starts the architecture's programs, through qemu-user."""
    name = pathlib.Path(wrapper(architecture)).name.removesuffix("-static")
    if (BINFMT / name).exists():
        return
    rule = pathlib.Path(f"/usr/lib/binfmt.d/{name}.conf")
    try:
        (BINFMT / "register").write_text(rule.read_text())
    except OSError as error:
        raise debian_root.unavailable(
            f"this kernel does not start programs of {architecture} ({error}). As root: "
            f"systemctl restart systemd-binfmt, or cat {rule} >{BINFMT}/register, "
            f"with qemu-user-static installed") from error
