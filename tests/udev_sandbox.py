# SPDX-License-Identifier: Apache-2.0
"""The real udevadm over simulated devices: the shipped rules and hardware database, a /dev, a /run
and an /etc/udev of its own.

udevadm test makes real links and database entries: it runs in a mount namespace.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["SOURCE_ROOT"])
RULES = ROOT / "udev" / "61-smartmeter.rules"
HWDB = ROOT / "udev" / "61-smartmeter.hwdb"
LOCAL_RULES = "60-smartmeter-local.rules"

BUS = """\
P: /devices/pci0000:00/0000:00:14.0
E: DRIVER=xhci_hcd
E: PCI_SLOT_NAME=0000:00:14.0
E: SUBSYSTEM=pci

P: /devices/pci0000:00/0000:00:14.0/usb1
N: bus/usb/001/001
E: DEVNAME=/dev/bus/usb/001/001
E: DEVTYPE=usb_device
E: DRIVER=usb
E: SUBSYSTEM=usb
A: idProduct=0002\\n
A: idVendor=1d6b\\n

"""
DEVICE = """\
P: {device}
N: bus/usb/001/{minor:03}
E: DEVNAME=/dev/bus/usb/001/{minor:03}
E: DEVTYPE=usb_device
E: DRIVER=usb
E: SUBSYSTEM=usb
A: bDeviceClass=00\\n
A: bcdDevice=0600\\n
A: idProduct={product_id}\\n
A: idVendor={vendor_id}\\n
{texts}
"""
PORT = """\
P: {interface}
E: DEVTYPE=usb_interface
E: DRIVER={driver}
L: driver=../../../../../../bus/usb/drivers/{driver}
E: SUBSYSTEM=usb
A: bInterfaceClass={interface_class}\\n
A: bInterfaceNumber={number:02x}\\n
A: bInterfaceProtocol=ff\\n
A: bInterfaceSubClass=ff\\n

"""
USB_SERIAL = """\
P: {interface}/{name}
E: DRIVER={driver}
E: SUBSYSTEM=usb-serial
A: port_number={port}\\n

"""
TTY = """\
P: {tty}
N: {name}
E: DEVNAME=/dev/{name}
E: MAJOR={major}
E: MINOR={minor}
E: SUBSYSTEM=tty
A: dev={major}:{minor}\\n
{properties}
"""


class Adapter:
    """One USB device with its serial ports, in the words of umockdev."""

    def __init__(self, vendor_id="0403", product_id="6001", vendor="FTDI",
                 product="FT232R USB UART", serial="A9XYZ123", place="2", first=0, interfaces=1,
                 ports=1, driver="ftdi_sio", properties=(), node=None):
        """`first`: number of its first port; each interface has `ports` of them. `node`: major
        and minor number of its node, where they are not the driver's own."""
        self.device = f"/devices/pci0000:00/0000:00:14.0/usb1/1-{place}"
        texts = "".join("A: {}={}\\n\n".format(name, text.replace("\\", "\\\\")) for name, text in
                        (("manufacturer", vendor), ("product", product), ("serial", serial))
                        if text)
        acm = driver == "cdc_acm"
        kind, major = ("ttyACM", 166) if acm else ("ttyUSB", 188)
        self.ttys = []
        self.text = DEVICE.format(device=self.device, vendor_id=vendor_id, product_id=product_id,
                                  texts=texts, minor=10 + first)
        for number in range(interfaces):
            interface = f"{self.device}/1-{place}:1.{number}"
            path = f"pci-0000:00:14.0-usb-0:{place}:1.{number}"
            self.text += PORT.format(interface=interface, driver=driver, number=number,
                                     interface_class="02" if acm else "ff")
            for port in range(ports):
                minor = first + len(self.ttys)
                name = f"{kind}{minor}"
                tty = f"{interface}/tty/{name}" if acm else f"{interface}/{name}/tty/{name}"
                if not acm:
                    self.text += USB_SERIAL.format(interface=interface, name=name, driver=driver,
                                                   port=port)
                self.text += TTY.format(
                    tty=tty, name=name, major=node[0] if node else major,
                    minor=node[1] if node else minor,
                    properties="".join(f"E: {one}\n" for one in (f"ID_PATH={path}", *properties)))
                self.ttys.append("/sys" + tty)

    @property
    def tty(self):
        return self.ttys[0]


class BoardPort:
    """A UART on the board."""

    def __init__(self, name="ttyAMA0"):
        self.device = "/devices/platform/soc/fe201000.serial"
        tty = f"{self.device}/tty/{name}"
        self.ttys = ["/sys" + tty]
        self.text = (f"P: {self.device}\nE: DRIVER=uart-pl011\nE: SUBSYSTEM=amba\n\n" +
                     TTY.format(tty=tty, name=name, major=204, minor=64, properties=""))

    @property
    def tty(self):
        return self.ttys[0]


# $1 = directory of the files, $2 = the real user id: one who is not root cannot make links in /dev
# anyway; the rest is run among the simulated devices.
SCRIPT = """
set -e
directory=$1 user=$2
shift 2
if [ "$user" = 0 ]; then
  mount -t tmpfs none "$directory/dev"
  cp -a /dev/null /dev/zero /dev/urandom "$directory/dev/"
  mkdir "$directory/dev/pts"
  mount --bind /dev/pts "$directory/dev/pts"
  ln -s pts/ptmx "$directory/dev/ptmx"
  mount --rbind "$directory/dev" /dev
fi
mount -t tmpfs none /run
mkdir -p /run/udev
mount --bind "$directory/root/etc/udev" /etc/udev
mount --bind "$directory/group" /etc/group
exec umockdev-run -d "$directory/devices.umockdev" -- "$@"
"""


def compile_hwdb(directory):
    """The shipped hardware database, compiled strictly below `directory`; the file's path."""
    source = os.path.join(directory, "etc", "udev", "hwdb.d")
    os.makedirs(source)
    shutil.copy(HWDB, source)
    subprocess.run(["systemd-hwdb", "--strict", f"--root={directory}", "update"], check=True)
    return os.path.join(directory, "etc", "udev", "hwdb.bin")


class Sandbox(unittest.TestCase):
    """Tests in such a sandbox; `root` is what its files lie below."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run([*self.unshare, "true"], capture_output=True, check=False).returncode:
            self.skipTest("the kernel refuses a mount namespace")
        self.root = self.directory / "root"
        self.rules = self.root / "etc" / "udev" / "rules.d"
        self.rules.mkdir(parents=True)
        (self.directory / "dev").mkdir()
        shutil.copy(RULES, self.rules)
        shutil.copy(compile_hwdb(self.directory / "hwdb"), self.root / "etc" / "udev")
        # A group that udev does not know would cost the port its group.
        with open("/etc/group", encoding="utf-8") as groups:
            lines = [line for line in groups if not line.startswith("smartmeterd:")]
        (self.directory / "group").write_text("".join([*lines, "smartmeterd:x:4711:\n"]))

    def write_local_rules(self, text):
        (self.rules / LOCAL_RULES).write_text(text)

    def run_among(self, devices, *command):
        """Runs a command where there are these devices and no others."""
        (self.directory / "devices.umockdev").write_text(
            BUS + "\n".join(device.text for device in devices))
        return subprocess.run(
            [*self.unshare, "sh", "-c", SCRIPT, "sh", str(self.directory), str(os.geteuid()),
             *command], capture_output=True, text=True, check=False)

    def udev(self, devices, path, action="add"):
        """The output of udevadm test for one device under the rules; then udev's database."""
        done = self.run_among(devices, "sh", "-c",
                              'udevadm test --action="$1" "$2" && '
                              '{ cat /run/udev/data/* 2>/dev/null || true; }', "sh", action, path)
        return self.checked(done)

    def udev_each(self, devices):
        """The same for every port of the devices, without the database: path to output."""
        paths = [tty for device in devices for tty in device.ttys]
        done = self.run_among(
            devices, "sh", "-ec",
            'for path; do echo "=> $path"; udevadm test --action=add "$path" 2>&1; done', "sh",
            *paths)
        parts = re.split(r"(?m)^=> (.*)$", self.checked(done))
        return dict(zip(parts[1::2], parts[2::2]))

    def checked(self, done):
        output = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, output)
        # Whatever udev does not like about our files it says with their name.
        complaints = [line for line in output.splitlines()
                      if re.search(r"smartmeter\S*\.rules:\d+.*(nvalid|gnor|ailed|nknown)", line)
                      and "No data available" not in line]  # hwdb: not a known product
        self.assertEqual(complaints, [])
        return output

    @staticmethod
    def links(output):
        return set(re.search(r"^DEVLINKS=(.*)$", output, re.M).group(1).split()) \
            if "DEVLINKS=" in output else set()

    @staticmethod
    def properties(output):
        return dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", output, re.M))

    def assert_ours(self, output):
        self.assertRegex(output, r"(?m)^TAGS=.*:smartmeter:")
        self.assertRegex(output, r"(?m)^TAGS=.*:systemd:")
        self.assertRegex(output, r"(?m)^SYSTEMD_WANTS=smartmeterd\.service$")
        self.assertRegex(output, r"(?m)^ID_MM_PORT_IGNORE=1$")
        self.assertRegex(output, r"61-smartmeter\.rules:\d+ GROUP 4711")
        self.assertRegex(output, r"61-smartmeter\.rules:\d+ MODE 0660")

    def assert_not_ours(self, output):
        self.assertNotIn("smartmeterd.service", output)
        self.assertFalse([link for link in self.links(output) if "smartmeter" in link])
        self.assertNotIn(":smartmeter:", output)
        self.assertNotIn("GROUP 4711", output)

    def assert_hinted(self, output, name):
        self.assertRegex(output, r"(?m)^TAGS=.*:systemd:")
        self.assertRegex(output,
                         rf"(?m)^SYSTEMD_WANTS=smartmeter-unclaimed@{name}\.service$")

    def assert_not_hinted(self, output):
        self.assertNotIn("smartmeter-unclaimed@", output)
