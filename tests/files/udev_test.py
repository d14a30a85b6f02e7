#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What udev makes of adapters: the real rules over simulated devices, the real hardware database.

udevadm test makes real links and database entries: it runs in a mount namespace with a /dev, a
/run and an /etc/udev of its own.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["SOURCE_ROOT"]
sys.path.insert(0, os.path.join(ROOT, "tests"))
import tap  # noqa: E402

RULES = os.path.join(ROOT, "udev", "61-smartmeter.rules")
HWDB = os.path.join(ROOT, "udev", "61-smartmeter.hwdb")

# The product lines of the shipped database and what they must give.
PRODUCTS = {"17a8:0001": "ir", "0403:e700": "ir", "0403:f458": "ir"}

USB_PORT = """\
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

P: /devices/pci0000:00/0000:00:14.0/usb1/1-2
N: bus/usb/001/002
E: DEVNAME=/dev/bus/usb/001/002
E: DEVTYPE=usb_device
E: DRIVER=usb
E: SUBSYSTEM=usb
A: bDeviceClass=00\\n
A: bcdDevice=0600\\n
A: idProduct={product_id}\\n
A: idVendor={vendor_id}\\n
A: manufacturer={vendor}\\n
A: product={product}\\n
A: serial={serial}\\n

P: /devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0
E: DEVTYPE=usb_interface
E: DRIVER=ftdi_sio
E: SUBSYSTEM=usb
A: bInterfaceClass=ff\\n
A: bInterfaceNumber=00\\n
A: bInterfaceProtocol=ff\\n
A: bInterfaceSubClass=ff\\n

P: /devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/ttyUSB0
E: DRIVER=ftdi_sio
E: SUBSYSTEM=usb-serial
A: port_number=0\\n

P: /devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/ttyUSB0/tty/ttyUSB0
N: ttyUSB0
E: DEVNAME=/dev/ttyUSB0
E: MAJOR=188
E: MINOR=0
E: SUBSYSTEM=tty
A: dev=188:0\\n
"""
USB_TTY = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/ttyUSB0/tty/ttyUSB0"

BOARD_PORT = """\
P: /devices/platform/soc/fe201000.serial
E: DRIVER=uart-pl011
E: SUBSYSTEM=amba

P: /devices/platform/soc/fe201000.serial/tty/ttyAMA0
N: ttyAMA0
E: DEVNAME=/dev/ttyAMA0
E: MAJOR=204
E: MINOR=64
E: SUBSYSTEM=tty
A: dev=204:64\\n
"""
BOARD_TTY = "/sys/devices/platform/soc/fe201000.serial/tty/ttyAMA0"

# $1 = directory of the files, $2 = device description, $3 = its path in sysfs, $4 = action,
# $5 = the real user id: one who is not root cannot make links in /dev anyway.
SCRIPT = """
set -e
if [ "$5" = 0 ]; then
  mount -t tmpfs none "$1/dev"
  cp -a /dev/null /dev/zero /dev/urandom "$1/dev/"
  mkdir "$1/dev/pts"
  mount --bind /dev/pts "$1/dev/pts"
  ln -s pts/ptmx "$1/dev/ptmx"
  mount --rbind "$1/dev" /dev
fi
mount -t tmpfs none /run
mkdir -p /run/udev
mount --bind "$1/etc-udev" /etc/udev
mount --bind "$1/group" /etc/group
umockdev-run -d "$2" -- udevadm test --action="$4" "$3"
cat /run/udev/data/* 2>/dev/null || true
"""


def compile_hwdb(directory):
    """The shipped hardware database, compiled strictly below `directory`; the file's path."""
    source = os.path.join(directory, "etc", "udev", "hwdb.d")
    os.makedirs(source)
    shutil.copy(HWDB, source)
    subprocess.run(["systemd-hwdb", "--strict", f"--root={directory}", "update"], check=True)
    return os.path.join(directory, "etc", "udev", "hwdb.bin")


class HardwareDatabase(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        compile_hwdb(self.directory)

    def query(self, key):
        answer = subprocess.run(["systemd-hwdb", f"--root={self.directory}", "query", key],
                                capture_output=True, text=True, check=False)
        self.assertEqual(answer.stderr, "")
        return answer.stdout.strip()

    def test_every_product_has_its_kind(self):
        for product, kind in PRODUCTS.items():
            vendor_id, product_id = product.split(":")
            key = f"smartmeter:usb:v{vendor_id}p{product_id}:Any_Vendor:Any_Product:123"
            self.assertEqual(self.query(key), f"SMARTMETER_KIND={kind}", key)

    def test_no_product_without_a_test(self):
        with open(HWDB, encoding="utf-8") as text:
            lines = re.findall(r"^smartmeter:usb:v([0-9a-f]{4})p([0-9a-f]{4}):", text.read(), re.M)
        self.assertEqual(sorted(":".join(ids) for ids in lines), sorted(PRODUCTS))

    def test_generic_chips_are_not_in_it(self):
        for chip in ("v0403p6001:FTDI:FT232R_USB_UART:A9XYZ123",
                     "v10c4pea60:Silicon_Labs:CP2102_USB_to_UART_Bridge_Controller:0001",
                     "v1a86p7523:1a86:USB_Serial:", "v067bp2303:Prolific:USB-Serial:"):
            self.assertEqual(self.query(f"smartmeter:usb:{chip}"), "")


class Rules(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        self.unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run([*self.unshare, "true"], capture_output=True, check=False).returncode:
            self.skipTest("the kernel refuses a mount namespace")
        udev = os.path.join(self.directory, "etc-udev")
        os.makedirs(os.path.join(udev, "rules.d"))
        os.makedirs(os.path.join(self.directory, "dev"))
        shutil.copy(RULES, os.path.join(udev, "rules.d"))
        shutil.copy(compile_hwdb(os.path.join(self.directory, "hwdb")), udev)
        # A group that udev does not know would cost the port its group.
        with open("/etc/group", encoding="utf-8") as groups:
            lines = [line for line in groups if not line.startswith("smartmeterd:")]
        with open(os.path.join(self.directory, "group"), "w", encoding="utf-8") as copy:
            copy.writelines([*lines, "smartmeterd:x:4711:\n"])

    def udev(self, device, path, local_rule="", action="add"):
        """The output of udevadm test for a device under the shipped rules and a local one."""
        rules = os.path.join(self.directory, "etc-udev", "rules.d", "60-smartmeter-local.rules")
        with open(rules, "w", encoding="utf-8") as text:
            text.write(local_rule)
        description = os.path.join(self.directory, "device.umockdev")
        with open(description, "w", encoding="utf-8") as text:
            text.write(device)
        command = [*self.unshare, "sh", "-c", SCRIPT, "sh", self.directory, description, path,
                   action, str(os.geteuid())]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        output = run.stdout + run.stderr
        self.assertEqual(run.returncode, 0, output)
        # Whatever udev does not like about our files it says with their name.
        complaints = [line for line in output.splitlines()
                      if re.search(r"smartmeter\S*\.rules:\d+.*(nvalid|gnor|ailed|nknown)", line)
                      and "No data available" not in line]  # hwdb: not a known product
        self.assertEqual(complaints, [])
        return output

    @staticmethod
    def adapter(vendor_id="0403", product_id="6001", serial="A9XYZ123"):
        return USB_PORT.format(vendor_id=vendor_id, product_id=product_id, vendor="FTDI",
                               product="FT232R USB UART", serial=serial)

    @staticmethod
    def links(output):
        return set(re.search(r"^DEVLINKS=(.*)$", output, re.M).group(1).split()) \
            if "DEVLINKS=" in output else set()

    CLAIM = ('SUBSYSTEM=="tty", SUBSYSTEMS=="usb", ATTRS{idVendor}=="0403", '
             'ATTRS{serial}=="A9XYZ123", ENV{SMARTMETER_KIND}="mbus", '
             'ENV{SMARTMETER_NAME}="cellar"\n')
    CLAIMED_LINKS = {
        "/dev/smartmeter_mbus",
        "/dev/smartmeter/by-id/mbus-FTDI_FT232R_USB_UART_A9XYZ123-if00-port0",
        "/dev/smartmeter/by-path/mbus-pci-0000:00:14.0-usb-0:2:1.0-port0",
        "/dev/smartmeter/by-name/cellar",
    }

    def assert_ours(self, output):
        self.assertRegex(output, r"(?m)^TAGS=.*:smartmeter:")
        self.assertRegex(output, r"(?m)^TAGS=.*:systemd:")
        self.assertRegex(output, r"(?m)^SYSTEMD_WANTS=.*smartmeterd\.service")
        self.assertRegex(output, r"(?m)^ID_MM_PORT_IGNORE=1$")
        self.assertRegex(output, r"61-smartmeter\.rules:\d+ GROUP 4711")
        self.assertRegex(output, r"61-smartmeter\.rules:\d+ MODE 0660")

    def assert_not_ours(self, output):
        self.assertNotIn("smartmeterd.service", output)
        self.assertFalse([link for link in self.links(output) if "smartmeter" in link])
        self.assertNotIn(":smartmeter:", output)
        self.assertNotIn("GROUP 4711", output)

    def test_claimed_by_serial_number(self):
        output = self.udev(self.adapter(), USB_TTY, self.CLAIM)
        self.assertLessEqual(self.CLAIMED_LINKS, self.links(output))
        self.assert_ours(output)

    def test_a_change_event_keeps_the_links(self):
        output = self.udev(self.adapter(), USB_TTY, self.CLAIM, action="change")
        self.assertLessEqual(self.CLAIMED_LINKS, self.links(output))

    def test_claimed_by_path(self):
        output = self.udev(self.adapter(), USB_TTY,
                           'ENV{ID_PATH}=="pci-0000:00:14.0-usb-0:2:1.0", '
                           'ENV{SMARTMETER_KIND}="ir"\n')
        self.assertIn("/dev/smartmeter_ir", self.links(output))
        self.assert_ours(output)

    def test_chip_without_serial_number_is_named_by_its_place(self):
        output = self.udev(self.adapter("1a86", "7523", serial="").replace("A: serial=\\n\n", ""),
                           USB_TTY, 'ENV{ID_PATH}=="pci-0000:00:14.0-usb-0:2:1.0", '
                                    'ENV{SMARTMETER_KIND}="ir"\n')
        self.assertEqual([link for link in self.links(output) if "/dev/smartmeter" in link
                          and "by-id" in link], [])
        self.assertIn("/dev/smartmeter/by-path/ir-pci-0000:00:14.0-usb-0:2:1.0-port0",
                      self.links(output))

    def test_generic_chip_is_left_alone(self):
        for vendor_id, product_id in (("0403", "6001"), ("10c4", "ea60"), ("1a86", "7523")):
            output = self.udev(self.adapter(vendor_id, product_id), USB_TTY)
            self.assert_not_ours(output)

    def test_other_serial_number_is_left_alone(self):
        self.assert_not_ours(self.udev(self.adapter(serial="GPS00001"), USB_TTY, self.CLAIM))

    def test_unknown_kind_is_left_alone(self):
        self.assert_not_ours(self.udev(self.adapter(), USB_TTY,
                                       self.CLAIM.replace('"mbus"', '"modem"')))

    def test_known_product_needs_no_rule(self):
        for product, kind in PRODUCTS.items():
            output = self.udev(self.adapter(*product.split(":")), USB_TTY)
            self.assertIn(f"/dev/smartmeter_{kind}", self.links(output))
            self.assert_ours(output)

    def test_local_rule_wins_over_the_product(self):
        output = self.udev(self.adapter("0403", "e700"), USB_TTY, self.CLAIM)
        self.assertIn("/dev/smartmeter_mbus", self.links(output))
        self.assertNotIn("/dev/smartmeter_ir", self.links(output))

    def test_priority(self):
        if os.geteuid() != 0:
            self.skipTest("the kernel lets only root write udev's database")
        output = self.udev(self.adapter(), USB_TTY,
                           self.CLAIM.replace("\n", ', ENV{SMARTMETER_PRIORITY}="high"\n'))
        self.assertRegex(output, r"(?m)^L:10$")  # the entry in udev's database

    def test_port_on_the_board(self):
        output = self.udev(BOARD_PORT, BOARD_TTY,
                           'KERNEL=="ttyAMA0", ENV{SMARTMETER_KIND}="p1", '
                           'ENV{SMARTMETER_NAME}="hat"\n')
        self.assertLessEqual({"/dev/smartmeter_p1", "/dev/smartmeter/by-name/hat"},
                             self.links(output))
        self.assert_ours(output)
        self.assert_not_ours(self.udev(BOARD_PORT, BOARD_TTY))


if __name__ == "__main__":
    tap.main()
