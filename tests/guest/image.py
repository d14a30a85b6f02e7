#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the guest: a Debian kernel, and a Debian root file system that is unpacked into memory.

Packages come from where this machine's apt gets them. image(): they are unpacked, not configured,
which needs neither root nor a container. debian(): a Debian as somebody installed it, on which
packages can be installed. There is no disk: systemd is started from the kernel's first file system,
so every boot starts afresh. Images are kept in ~/.cache/smartmeterd-guest, one for each list of
packages and version of this file.
"""

import contextlib
import hashlib
import lzma
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import cache  # noqa: E402
import cpio  # noqa: E402
import debian_root  # noqa: E402
from debian_root import run, unavailable  # noqa: E402

PACKAGES = ("base-files", "base-passwd", "bash", "coreutils", "dash", "dbus", "findutils", "grep",
            "kmod", "libc-bin", "login", "mosquitto", "mosquitto-clients", "mount", "passwd",
            "procps", "sed", "systemd", "tar", "udev", "util-linux")
# The smaller "cloud" kernel has neither USB host controllers nor serial adapters.
KERNEL = "linux-image-amd64"
# With what they depend on: the channel to this machine, USB, the adapters' drivers, USB devices
# from user space.
MODULES = ("virtio_pci", "virtio_console", "xhci-pci", "ftdi_sio", "cp210x", "ch341", "pl2303",
           "cdc-acm", "vhci-hcd", "autofs4")
# What a guest without people never reads, and takes memory and time; and PAM's settings for
# programs without any, which name files that a package's script would have made.
LEFT_OUT = re.compile(
    r"usr/share/(doc|man|locale|info|perl5?|zoneinfo|bash-completion|lintian|bug|icons|i18n)/|"
    r"usr/(lib/x86_64-linux-gnu/(perl|perl-base|gconv)|share/perl/|lib/udev/hwdb\.d/)|"
    r"usr/bin/perl|usr/lib/locale/|etc/pam\.d/other$")
# For a Debian that packages are installed on; with what mmdebstrap always has, dpkg and apt too.
DEBIAN = ("ca-certificates", "dbus", "kmod", "mosquitto", "mosquitto-clients", "systemd",
          "systemd-sysv", "udev")
# Not needed in it; and device nodes: there is a devtmpfs.
NOT_READ = re.compile(r"dev/|(boot|usr/share/(doc|man|locale|info|bash-completion|lintian|bug|"
                      r"icons|i18n)|usr/lib/x86_64-linux-gnu/gconv)/.")
# Users and groups that the packages' scripts would have made.
USERS = ('u messagebus - "System message bus" /nonexistent\n'
         'u mosquitto - "MQTT broker" /var/lib/mosquitto\n'
         "g input -\ng kvm -\ng render -\ng sgx -\n")
# Units for people, disks and networks that are not there.
MASKED = """
    dev-hugepages.mount dev-mqueue.mount fstrim.timer getty.target kmod-static-nodes.service
    ldconfig.service proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount
    sys-kernel-debug.mount sys-kernel-tracing.mount systemd-ask-password-console.path
    systemd-ask-password-wall.path systemd-boot-system-token.service systemd-firstboot.service
    systemd-hwdb-update.service systemd-journal-catalog-update.service
    systemd-journal-flush.service systemd-logind.service systemd-machine-id-commit.service
    systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pstore.service
    systemd-random-seed.service systemd-rfkill.service systemd-sysusers.service
    systemd-update-utmp.service systemd-update-utmp-runlevel.service""".split()
UNITS = "etc/systemd/system"


def kernel_deb(apt):
    """The .deb file of the kernel that the metapackage names."""
    depends = run("apt-cache", *apt.options, "depends", KERNEL)
    name = re.search(r"Depends: (linux-image-\d\S*)", depends).group(1)
    apt.get("download", name, cwd=apt.archives.parent)
    return next(apt.archives.parent.glob("linux-image-*.deb"))


@contextlib.contextmanager
def opened_deb(path):
    """The files of a package as an open tar file."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            yield tar
        process.stdout.read()  # what follows the last member


def unpack(deb, directory, wanted):
    """The wanted files of a package below a directory, without owners."""
    with opened_deb(deb) as tar:
        for member in tar:
            member.name = cpio.merged(member.name.removeprefix("./"))
            if member.isreg() and wanted(member.name):
                tar.extract(member, directory, set_attrs=False)


def decompressed_kernel(vmlinuz):
    """The ELF file inside: qemu starts it at once, and the guest is spared the unpacking."""
    start = vmlinuz.find(b"\xfd7zXZ\0")
    if start < 0:
        raise unavailable("the kernel is not compressed by xz")
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(vmlinuz[start:])


def with_dependencies(tree, release):
    """Paths of the modules that are loaded, from modules.dep."""
    base = tree / "usr/lib/modules" / release
    needs = {}
    for line in (base / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[pathlib.Path(path).stem.replace("-", "_")] = [path, *others.split()]
    return sorted({path for name in MODULES for path in needs[name.replace("-", "_")]})


def add_modules(archive, tree):
    """The modules of a kernel that is unpacked below `tree`, with the indices of modprobe."""
    release = next((tree / "usr/lib/modules").iterdir()).name
    # depmod knows the merged /usr only by the link.
    (tree / "lib").symlink_to("usr/lib")
    run("depmod", "-b", tree, release)
    used = with_dependencies(tree, release)
    base = tree / "usr/lib/modules" / release
    for path in list(base.rglob("*.ko")):
        if str(path.relative_to(base)) not in used:
            path.unlink()
    run("depmod", "-b", tree, release)
    (tree / "lib").unlink()
    archive.add_tree(tree)


def add_users(archive, debs, directory):
    """/etc/passwd and its companions: Debian's own users, and those of the packages."""
    def wanted(name):
        return name.startswith(("usr/lib/sysusers.d/", "usr/share/base-passwd/"))
    for deb in debs:
        unpack(deb, directory, wanted)
    etc = directory / "etc"
    etc.mkdir()
    masters = directory / "usr/share/base-passwd"
    for name in ("passwd", "group"):
        shutil.copy(masters / f"{name}.master", etc / name)
    (directory / "usr/lib/sysusers.d/packages.conf").write_text(USERS)
    run("systemd-sysusers", f"--root={directory}")
    for path in sorted(etc.iterdir()):
        if not path.name.startswith(".") and not path.name.endswith("-"):
            path.chmod(0o600)  # "shadow" is closed even to its owner
            archive.add(f"etc/{path.name}", 0o100640 if "shadow" in path.name else 0o100644,
                        path.read_bytes())


def add_settings(archive):
    """What is different in a guest."""
    archive.add_link("init", "usr/lib/systemd/systemd")
    archive.add_text("etc/hostname", "guest\n")
    archive.add_text("etc/hosts", "127.0.0.1 localhost guest\n::1 localhost\n")
    archive.add_text("etc/machine-id", "")
    archive.add_text("etc/fstab", "")
    for unit in MASKED:
        archive.add_link(f"{UNITS}/{unit}", "/dev/null")


def add_packages_settings(archive):
    """What the packages' scripts would have set up."""
    archive.add_text("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    archive.add_link(f"{UNITS}/default.target", "/usr/lib/systemd/system/multi-user.target")
    archive.add_directory(f"{UNITS}/multi-user.target.wants")
    archive.add_link(f"{UNITS}/multi-user.target.wants/mosquitto.service",
                     "/usr/lib/systemd/system/mosquitto.service")


def add_directories(archive):
    """The top of a Debian."""
    archive.add_directory(".")
    archive.add_directory("usr")
    for name in cpio.MERGED:
        archive.add_directory(f"usr/{name}")
        archive.add_link(name, f"usr/{name}")


def write_kernel(apt, scratch, result):
    """Into the image's file; the modules stay below the directory that is returned."""
    tree = scratch / "kernel"
    unpack(kernel_deb(apt), tree,
           lambda name: name.startswith(("boot/vmlinuz-", "usr/lib/modules/")))
    vmlinuz = next((tree / "boot").iterdir())
    (result / "kernel").write_bytes(decompressed_kernel(vmlinuz.read_bytes()))
    shutil.rmtree(tree / "boot")
    return tree


@contextlib.contextmanager
def building(directory):
    """apt, a scratch directory, and the directory that becomes `directory` at the end."""
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="build-") as scratch:
        scratch = pathlib.Path(scratch)
        result = scratch / "image"
        result.mkdir()
        yield debian_root.Apt(scratch), scratch, result
        result.rename(directory)


def build(directory, packages):
    """Makes `directory` with the files "kernel" and "root.cpio"."""
    with building(directory) as (apt, scratch, result):
        debs = apt.download(packages)
        tree = write_kernel(apt, scratch, result)
        with cpio.Archive(result / "root.cpio") as archive:
            add_directories(archive)
            for deb in debs:
                with opened_deb(deb) as tar:
                    archive.add_tar(tar, lambda name: not LEFT_OUT.match(name))
            add_modules(archive, tree)
            add_users(archive, debs, scratch / "users")
            add_settings(archive)
            add_packages_settings(archive)


def build_debian(directory, root):
    """The same of a root that is configured."""
    with building(directory) as (apt, scratch, result):
        tree = write_kernel(apt, scratch, result)
        with cpio.Archive(result / "root.cpio") as archive, tarfile.open(root) as tar:
            add_directories(archive)
            archive.add_tar(tar, lambda name: not NOT_READ.match(name))
            add_modules(archive, tree)
            add_settings(archive)


def kept(packages, build_from, *more):
    """The directory of an image; built where there is none yet."""
    key = hashlib.sha256()
    for part in (pathlib.Path(__file__).read_bytes(), pathlib.Path(cpio.__file__).read_bytes(),
                 pathlib.Path(debian_root.__file__).read_bytes(), repr((packages, more)).encode(),
                 pathlib.Path("/etc/os-release").read_bytes()):
        key.update(hashlib.sha256(part).digest())
    return cache.kept("smartmeterd-guest", key.hexdigest()[:16], build_from)


def only_on_amd64():
    if run("dpkg", "--print-architecture").strip() != "amd64":
        raise unavailable("the guest is an amd64 machine, this one is another")


def image(extra_packages=()):
    """The directory of an image with these packages besides."""
    only_on_amd64()
    packages = sorted({*PACKAGES, *extra_packages})
    return kept(packages, lambda directory: build(directory, packages))


def debian():
    """The directory of an image of a clean Debian, and the tar file that it is made from."""
    only_on_amd64()
    root = debian_root.root(DEBIAN)
    return kept([str(root)], lambda directory: build_debian(directory, root)), root


if __name__ == "__main__":
    print(image(sys.argv[1:]))
