# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of another architecture, in a Debian of that architecture, emulated."""

import re
import subprocess
import tempfile

import foreign

VERSION = re.search(r"version: '([^']+)'", (foreign.TREE / "meson.build").read_text()).group(1)
KEY = "000102030405060708090A0B0C0D0E0F"  # metersim's
# What is tried, the command, and what its output has to hold.
STEPS = (
    ("installed by apt", "apt-get update -qq && apt-get install -qq --no-install-recommends "
     "/debs/smartmeterd_*.deb /debs/smartmeterctl_*.deb && dpkg --audit && "
     "getent passwd smartmeterd", "smartmeterd:"),
    ("smartmeterd --version", "smartmeterd --version", VERSION),
    ("smartmeterctl --version", "smartmeterctl --version", VERSION),
    ("metersim --version", "metersim --version", VERSION),
    ("smartmeterd --check", "smartmeterd --check", "configuration is fine"),
    ("decode of what metersim sends, after 2038",
     "metersim run kaifa-noe --fast --count 1 --start 2042-06-01T12:00:00Z --out /tmp/telegram && "
     f"smartmeterctl decode --key {KEY} /tmp/telegram", '"time":"2042-06-01T12:00:00+00:00"'),
    ("purged", "apt-get purge -qq smartmeterd smartmeterctl && "
     "! ls -d /etc/smartmeterd /var/lib/smartmeterd /usr/sbin/smartmeterd", ""),
)


def try_packages(architecture):
    """Builds them; each step's name and whether it did what it has to."""
    with tempfile.TemporaryDirectory(prefix="smartmeterd-packages-") as debs:
        built = subprocess.run([foreign.TREE / "tools" / "package", architecture,
                                "--output", debs], check=False)
        yield f"packages of {architecture}: built", built.returncode == 0
        if built.returncode != 0:
            return
        tar = foreign.debian_root.root(["ca-certificates", "dbus", "udev"],
                                       architecture=architecture, updates=foreign.UPDATES)
        with foreign.debian_root.unpacked(tar) as chroot:
            for name, command, expected in STEPS:
                status, output = chroot.attempt(command, binds={debs: "/debs"})
                is_ok = status == 0 and expected in output
                if not is_ok:
                    print(f"{name}: exit status {status}, wants {expected!r}\n{output}")
                yield f"packages of {architecture}: {name}", is_ok
