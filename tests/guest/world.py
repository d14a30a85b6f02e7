# SPDX-License-Identifier: Apache-2.0
"""The project, as it is installed, in a guest: its image, its bus, its meters.

The meters' telegrams are made by metersim on this machine and sent into the line of an emulated
adapter; what is asserted is what the guest's kernel, udev, systemd, bus and broker say.
"""

import base64
import contextlib
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import sys
import tarfile
import tempfile
import threading
import unittest

ROOT = pathlib.Path(os.environ["SOURCE_ROOT"])
BUILD = os.environ["BUILD_ROOT"]
HERE = ROOT / "tests" / "guest"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "integration"), str(HERE)]
import cpio  # noqa: E402
import debian_root  # noqa: E402
import dpkg  # noqa: E402
import harness  # noqa: E402
import image  # noqa: E402
import machine  # noqa: E402

MESON = os.environ.get("MESON", "meson")
FAKE_USB_ADAPTER = os.environ["FAKE_USB_ADAPTER"]
UNIT = "smartmeterd.service"
METER_LINK = "/dev/smartmeter_mbus"
# Of a guest that is shut down and started again.
KEPT = "etc/udev etc/smartmeterd etc/passwd etc/group etc/shadow etc/gshadow var/lib/smartmeterd"
SERIALS = ("HOUSE1", "ATTIC1")
TELEGRAMS_MAX = 10


def page_commands(page, start):
    """The commands for root of a page's block of shell commands with a line that starts so, without
    sudo; what is built comes from this machine.
    """
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        if f"\nsudo {start}" in f"\n{block}":
            return "\n".join(line.replace("sudo ", "") for line in block.splitlines()
                             if line.startswith("sudo ") and "meson install" not in line)
    raise AssertionError(f"{page} has no block of commands with: sudo {start}")


def readme_commands(start):
    return page_commands("README.md", start)


def readme_inline(start):
    """A command that README names in a sentence, without sudo."""
    text = " ".join((ROOT / "README.md").read_text().split())
    found = re.search(rf"`sudo ({start} [^`]*)`", text)
    if not found:
        raise AssertionError(f"README.md does not name a command: sudo {start}")
    return found.group(1)


def runtime_packages(programs):
    """Debian's packages with the libraries of these programs."""
    packages = set()
    for program in programs:
        for path in re.findall(r"=> (/\S+)", debian_root.run("ldd", str(program))):
            package = dpkg.package_of(path)
            if package is None:
                raise debian_root.unavailable(f"no package has {path}")
            packages.add(package)
    return packages


def no_guest():
    """Why this machine can have none, or None."""
    for program in (machine.QEMU, "depmod"):
        if not shutil.which(program, path=debian_root.PATH):
            return f"{program} is not installed: tools/install-packages guest"
    return None


class Guests:
    """An image, with the archives that are unpacked over it; boots machines one after the other."""

    memory_mib = 768

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="smartmeterd-guest-"))
        self.machine = None
        self.archives = []

    def add(self, tree):
        """Puts a directory's files over the image; with what the test needs in the guest."""
        (tree / "usr/lib/guest").mkdir(parents=True, exist_ok=True)
        shutil.copy(FAKE_USB_ADAPTER, tree / "usr/lib/guest")
        shutil.copytree(HERE / "root", tree, symlinks=True, dirs_exist_ok=True)
        self.archives.append(self.directory / f"{len(self.archives)}.cpio")
        with cpio.Archive(self.archives[-1]) as archive:
            archive.add_tree(tree)

    def boot(self):
        """A new machine, on which nothing has been done yet."""
        self.machine = machine.Machine(self.image, self.archives, SERIALS,
                                       memory_mib=self.memory_mib)
        return self.machine

    def close(self):
        if self.machine:
            self.machine.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def installed_files(tree):
    """What uninstalling will remove, as paths of the guest; it had Debian's directories before."""
    files = []
    for line in (pathlib.Path(BUILD) / "meson-logs/install-log.txt").read_text().splitlines():
        path = line.removeprefix(str(tree))
        if path.startswith("/") and (not os.path.isdir(line) or "smartmeter" in path):
            files.append(path)
    return files


class Installed(Guests):
    """The project is there, as `meson install` leaves it."""

    def __init__(self):
        super().__init__()
        tree = self.directory / "installed"
        debian_root.run(MESON, "install", "-C", BUILD, "--no-rebuild", "--strip",
                        "--destdir", str(tree))
        self.files = installed_files(tree)
        programs = [tree / "usr/sbin/smartmeterd", tree / "usr/bin/smartmeterctl"]
        self.image = image.image(runtime_packages([*programs, FAKE_USB_ADAPTER]))
        self.add(tree)

    def reboot(self, plugged=()):
        """The machine that was, started again with adapters that are there from the beginning."""
        tar = base64.b64decode(self.machine.shell(f"tar -C / -c {KEPT} | base64 -w 0"))
        self.machine.close()
        kept = self.directory / "kept.cpio"
        with cpio.Archive(kept) as archive, tarfile.open(fileobj=io.BytesIO(tar)) as files:
            archive.add_tar(files)
        self.machine = machine.Machine(self.image, [*self.archives, kept], SERIALS, plugged)
        return self.machine


class Bus(harness.Bus):
    """The guest's system bus."""

    def __init__(self, guest):
        self.guest = guest

    def busctl(self, *arguments):
        status, output = self.guest.attempt(
            f"busctl --json=short {shlex.join(arguments)} 2>/dev/null")
        return json.loads(output) if status == 0 and output else None


class Meter:
    """A simulated meter: telegrams one by one, each with another power."""

    def __init__(self, family):
        self.family = family
        self.count = 0
        self.id = None

    def next(self):
        """(octets, the power in W that they say)"""
        self.count += 1
        octets, values = harness.telegrams(
            self.family, 1, "--seed", str(self.count), "--counter", str(1000 + self.count))
        self.id = values[0]["meter"]
        return octets, values[0]["readings"]["power_import"]


@contextlib.contextmanager
def talking(send, meter, interval_s=2):
    """A meter that sends by itself for a while."""
    done = threading.Event()

    def talk():
        while not done.wait(interval_s):
            send(meter.next()[0])
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def retained(topic):
    """A command that prints what a fresh subscriber is told, and nothing where nothing is kept."""
    return f"mosquitto_sub -h 127.0.0.1 -t smartmeter/{topic} -C 1 -W 5 2>/dev/null"


class Case(unittest.TestCase):
    """A test in the guest that is running; tells what the guest logged when it fails."""

    guests = None

    @property
    def guest(self):
        return self.guests.machine

    @property
    def bus(self):
        return Bus(self.guest)

    def wait(self, condition, limit=machine.LIMIT_S):
        return self.guest.wait(condition, limit)

    def read_through(self, send, meter):
        """Sends telegrams until one's power is on the bus and at the broker; the object's path.

        What comes while the port is being opened, or its settings are looked for, is lost.
        """
        manager = "busctl --timeout=5 call org.smartmeterd1 /org/smartmeterd1 " \
                  "org.smartmeterd1.Manager"
        read = "busctl --timeout=5 get-property org.smartmeterd1"
        for _ in range(TELEGRAMS_MAX):
            octets, power = meter.next()
            send(octets)
            try:
                path = self.wait(
                    f"path=$({manager} GetMeter s {meter.id} | cut -d'\"' -f2) && "
                    f"{read} $path org.smartmeterd1.Electricity PowerImport | "
                    f"grep -qx 'd {power}' && echo $path", 10).strip()
            except machine.Failed:
                continue
            self.wait(f"{retained(f'{meter.id.lower()}/state')} | grep '\"power_import\":{power},'")
            return path
        raise AssertionError(f"{TELEGRAMS_MAX} telegrams of {meter.family}, and no reading")

    def wait_retained(self, topic, payload):
        self.wait(f'[ "$({retained(topic)})" = {payload} ]')

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        outcome = super().run(result)  # cleanups and all
        if len(result.failures) + len(result.errors) > before:
            self.explain()
        return outcome

    def explain(self):
        """What somebody needs who has nothing but this log."""
        print(f"--- the guest after {self.id()}", file=sys.stderr)
        try:
            print(self.guest.shell(
                "journalctl -b --no-pager -o short-monotonic -n 80; "
                f"systemctl status --no-pager -n 0 {UNIT}; "
                "ls -lR /dev/smartmeter* /dev/ttyUSB* /dev/ttyACM* /etc/smartmeterd 2>/dev/null; "
                "cat /etc/udev/rules.d/60-smartmeter-local.rules", check=False), file=sys.stderr)
        except AssertionError as error:
            print(f"the guest does not answer: {error}", file=sys.stderr)
        print("--- its console\n" + self.guest.console()[-4000:], file=sys.stderr)


class Adapters(Case):
    """What the cases do with the guest's adapters."""

    LINE = "/run/line"  # a pipe: what is written into it comes from plug_chip's adapter

    def setUp(self):
        self.house, self.attic = self.guest.adapters
        self.addCleanup(self.unplug_all)

    def unplug_all(self):
        for adapter in self.guest.adapters:
            adapter.unplug()
        self.wait("! ls /dev/ttyUSB* && udevadm settle")

    def plug_chip(self, chip, driver, port):
        """One that is not in qemu: user space on a virtual bus, with the kernel's driver."""
        self.guest.shell(f"modprobe vhci-hcd && rm -f {self.LINE} && mkfifo {self.LINE} && "
                         f"systemd-run -q --unit=chip-{chip} "
                         f"/usr/lib/guest/fake-usb-adapter {chip} {self.LINE}")
        self.addCleanup(self.wait, f"[ ! -e {port} ]")
        self.addCleanup(self.guest.shell, f"systemctl stop chip-{chip}")
        self.wait(f"[ -c {port} ] && udevadm settle")
        self.assertEqual(self.guest.shell(f"udevadm info -q property --property=ID_USB_DRIVER "
                                          f"--value {port}").strip(), driver)

    def send_chip(self, octets):
        self.guest.write(self.LINE, octets)

    def claim(self):
        """/dev/ttyUSB0, as README says."""
        self.guest.shell(readme_commands("smartmeterctl claim"))

    def add_key(self):
        """HOUSE's, as README says."""
        self.guest.write("/run/keys", harness.TEST_KEY.encode())
        self.guest.shell("exec </run/keys; rm /run/keys\n"
                         f"{readme_commands('smartmeterctl key add')}")

    def process(self):
        """The service's number, the same as long as it runs."""
        return self.guest.shell(f"systemctl show -P MainPID {UNIT}").strip()

    def wait_opened(self, link=METER_LINK):
        """Until the service has the port open that a link leads to; the port."""
        return self.wait(f"port=$(readlink -e {link}) && "
                         f"process=$(systemctl show -P MainPID {UNIT}) && "
                         "readlink /proc/$process/fd/* | grep -x $port").strip()

    def doctor(self):
        """The step that decides, and the verdict; "" where all is well."""
        said = json.loads(self.guest.attempt("smartmeterctl doctor --json 2>/dev/null")[1])
        one = said["adapters"][0]
        self.evidence = {step["step"]: step["evidence"] for step in one["steps"]}
        return one["step"] or "", one["verdict"]

    def assert_active(self, state="active", unit=UNIT):
        self.assertEqual(self.guest.attempt(f"systemctl is-active {unit}")[1].strip(), state)


def in_order(module):
    """A module's cases in the order in which they are written, for its load_tests()."""
    suite = unittest.TestSuite()
    for case in list(module.values()):
        if isinstance(case, type) and issubclass(case, unittest.TestCase):
            suite.addTests(case(name) for name in vars(case) if name.startswith("test_"))
    return suite
