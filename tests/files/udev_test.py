#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What udev makes of adapters: the real rules and hardware database over simulated devices."""

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
from udev_sandbox import HWDB, Adapter, BoardPort, Sandbox, compile_hwdb  # noqa: E402

# The lines of the shipped database: a device that each is meant for, and what it must give.
PRODUCTS = {
    "v17a8p0001:*": ("17a8", "0001", "Kamstrup A/S", "Kamstrup Optical Eye", "ir"),
    "v17a8p0005:*": ("17a8", "0005", "Kamstrup A/S", "Kamstrup M-Bus Master", "mbus"),
    "v0403pe700:*": ("0403", "e700", "Elster", "Unicom III", "ir"),
    "v0403pf458:*": ("0403", "f458", "ABACUS", "Optical Probe", "ir"),
    "v17a8p001[0-3]:*": ("17a8", "0011", "Kamstrup A/S", "444MHz RF sniffer", "none"),
    "v17a8p010[12]:*": ("17a8", "0102", "Kamstrup A/S", "wM-Bus Reader", "none"),
    "v10c4p87ed:*": ("10c4", "87ed", "IMST GmbH", "USB-Stick for Smart Metering", "none"),
    "v1cf1p*": ("1cf1", "0030", "dresden elektronik", "ConBee II", "none"),
    "v10c4p89fb:*": ("10c4", "89fb", "Silicon Labs", "Stick", "none"),
    "v*:*:SkyConnect*:*": ("10c4", "ea60", "Nabu Casa", "SkyConnect v1.0", "none"),
    "v*:*:*ZBT-[0-9]*:*": ("303a", "831a", "Nabu Casa", "ZBT-2", "none"),
    "v*:*[Zz]ig[Bb]ee*:*": ("10c4", "ea60", "Silicon Labs", "Sonoff Zigbee 3.0 USB Dongle Plus",
                            "none"),
    "v0658p02*:*": ("0658", "0200", "0658", "0200", "none"),
    "v10c4p8a2a:*": ("10c4", "8a2a", "Silicon Labs", "HubZ Smart Home Controller", "none"),
    "v*:*[Zz]-[Ww]ave*:*": ("1a86", "55d4", "Zooz", "800 Z-Wave Stick", "none"),
    "v1546p*": ("1546", "01a7", "u-blox AG - www.u-blox.com", "u-blox 7", "none"),
    "v*:*GPS*:*": ("067b", "23a3", "Prolific", "GPS Receiver", "none"),
    "v*:*GNSS*:*": ("0403", "6015", "Somebody", "GNSS-100", "none"),
}
# Chips that may be anything.
GENERIC = (
    ("0403", "6001", "FTDI", "FT232R USB UART", "A9GPSYZ1", "ftdi_sio"),
    ("0403", "6015", "FTDI", "FT230X Basic UART", "D30A9U5N", "ftdi_sio"),
    ("10c4", "ea60", "Silicon Labs", "CP2102 USB to UART Bridge Controller", "0001", "cp210x"),
    ("1a86", "7523", "1a86", "USB Serial", "", "ch341"),
    ("067b", "2303", "Prolific Technology Inc.", "USB-Serial Controller", "", "pl2303"),
    ("1a86", "55d4", "", "USB Single Serial", "55D3012345", "cdc_acm"),
)


class HardwareDatabase(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.directory)
        compile_hwdb(self.directory)

    def query(self, vendor_id, product_id, vendor, product, serial):
        key = f"smartmeter:usb:v{vendor_id}p{product_id}:{vendor}:{product}:{serial}"
        answer = subprocess.run(
            ["systemd-hwdb", f"--root={self.directory}", "query", key.replace(" ", "_")],
            capture_output=True, text=True, check=False)
        self.assertEqual(answer.stderr, "")
        return answer.stdout.strip()

    def test_every_product_has_its_kind(self):
        for line, (*product, kind) in PRODUCTS.items():
            self.assertEqual(self.query(*product, "123"), f"SMARTMETER_KIND={kind}", line)

    def test_no_product_without_a_test(self):
        with open(HWDB, encoding="utf-8") as text:
            lines = re.findall(r"^smartmeter:usb:(.*)$", text.read(), re.M)
        self.assertEqual(sorted(lines), sorted(PRODUCTS))

    def test_products_are_known_by_their_ids(self):
        """A kind is not given for what any device may say of itself."""
        for line, (*_, kind) in PRODUCTS.items():
            if kind != "none":
                self.assertRegex(line, r"^v[0-9a-f]{4}p[0-9a-f]{4}:\*$")

    def test_generic_chips_are_not_in_it(self):
        for *chip, _ in GENERIC:
            self.assertEqual(self.query(*chip), "")


class Rules(Sandbox):
    def evaluate(self, device, local_rule="", action="add"):
        self.write_local_rules(local_rule)
        return self.udev([device], device.tty, action)

    def known(self, line):
        vendor_id, product_id, vendor, product, kind = PRODUCTS[line]
        return Adapter(vendor_id, product_id, vendor, product, "123"), kind

    CLAIM = ('SUBSYSTEM=="tty", SUBSYSTEMS=="usb", ATTRS{idVendor}=="0403", '
             'ATTRS{serial}=="A9XYZ123", ENV{SMARTMETER_KIND}="mbus", '
             'ENV{SMARTMETER_NAME}="cellar"\n')
    CLAIMED_LINKS = {
        "/dev/smartmeter_mbus",
        "/dev/smartmeter/by-id/mbus-FTDI_FT232R_USB_UART_A9XYZ123-if00-port0",
        "/dev/smartmeter/by-path/mbus-pci-0000:00:14.0-usb-0:2:1.0-port0",
        "/dev/smartmeter/by-name/cellar",
    }

    def test_claimed_by_serial_number(self):
        output = self.evaluate(Adapter(), self.CLAIM)
        self.assertLessEqual(self.CLAIMED_LINKS, self.links(output))
        self.assert_ours(output)
        self.assert_not_hinted(output)

    def test_a_change_event_keeps_the_links(self):
        output = self.evaluate(Adapter(), self.CLAIM, action="change")
        self.assertLessEqual(self.CLAIMED_LINKS, self.links(output))

    def test_claimed_by_path(self):
        output = self.evaluate(Adapter(), 'ENV{ID_PATH}=="pci-0000:00:14.0-usb-0:2:1.0", '
                                          'ENV{SMARTMETER_KIND}="ir"\n')
        self.assertIn("/dev/smartmeter_ir", self.links(output))
        self.assert_ours(output)

    def test_chip_without_serial_number_is_named_by_its_place(self):
        output = self.evaluate(Adapter("1a86", "7523", serial=""),
                               'ENV{ID_PATH}=="pci-0000:00:14.0-usb-0:2:1.0", '
                               'ENV{SMARTMETER_KIND}="ir"\n')
        self.assertEqual([link for link in self.links(output) if "/dev/smartmeter" in link
                          and "by-id" in link], [])
        self.assertIn("/dev/smartmeter/by-path/ir-pci-0000:00:14.0-usb-0:2:1.0-port0",
                      self.links(output))

    def test_one_more_link(self):
        output = self.evaluate(Adapter(), self.CLAIM.replace(
            "\n", ', ENV{SMARTMETER_LINK}="smartmeter_modbus"\n'))
        self.assertLessEqual(self.CLAIMED_LINKS | {"/dev/smartmeter_modbus"}, self.links(output))

    def test_generic_chip_is_left_alone_with_a_hint(self):
        for *chip, driver in GENERIC:
            adapter = Adapter(*chip, driver=driver)
            output = self.evaluate(adapter)
            self.assert_not_ours(output)
            self.assert_hinted(output, "ttyACM0" if driver == "cdc_acm" else "ttyUSB0")

    def test_no_hint_for_what_is_no_adapter(self):
        for driver in ("option", "qcserial", "sierra"):
            self.assert_not_hinted(self.evaluate(Adapter("12d1", "1001", driver=driver)))
        self.assert_not_hinted(self.evaluate(BoardPort()))

    def test_no_hint_for_what_is_marked(self):
        output = self.evaluate(Adapter(), self.CLAIM.replace('"mbus"', '"none"'))
        self.assert_not_ours(output)
        self.assert_not_hinted(output)

    def test_no_hint_where_another_package_starts_a_program(self):
        # As gpsd does for whole families of chips.
        (self.rules / "60-gpsd.rules").write_text(
            'SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="6001", SYMLINK+="gps%n",'
            ' TAG+="systemd", ENV{SYSTEMD_WANTS}="gpsdctl@%k.service"\n')
        output = self.evaluate(Adapter())
        self.assertIn("SYSTEMD_WANTS=gpsdctl@ttyUSB0.service", output)
        self.assert_not_hinted(output)
        with self.subTest("a claimed one is not given to it"):
            output = self.evaluate(Adapter(), self.CLAIM)
            self.assert_ours(output)
            self.assertNotIn("gpsdctl", self.properties(output)["SYSTEMD_WANTS"])

    def test_other_serial_number_is_left_alone(self):
        self.assert_not_ours(self.evaluate(Adapter(serial="GPS00001"), self.CLAIM))

    def test_unknown_kind_is_left_alone(self):
        self.assert_not_ours(self.evaluate(Adapter(), self.CLAIM.replace('"mbus"', '"modem"')))

    def test_every_line_of_the_database(self):
        for line, (*_, kind) in PRODUCTS.items():
            with self.subTest(line):
                adapter, _ = self.known(line)
                output = self.evaluate(adapter)
                self.assert_not_hinted(output)
                self.assertEqual(self.properties(output)["SMARTMETER_KIND"], kind)
                if kind == "none":
                    self.assert_not_ours(output)
                else:
                    self.assertIn(f"/dev/smartmeter_{kind}", self.links(output))
                    self.assert_ours(output)

    def test_local_rule_wins_over_the_product(self):
        for line in ("v0403pe700:*", "v1cf1p*"):
            vendor_id, product_id, vendor, product, kind = PRODUCTS[line]
            output = self.evaluate(
                Adapter(vendor_id, product_id, vendor, product),
                self.CLAIM.replace('=="0403"', f'=="{vendor_id}"'))
            self.assertIn("/dev/smartmeter_mbus", self.links(output))
            self.assertNotIn(f"/dev/smartmeter_{kind}", self.links(output))

    def test_modem_manager_is_kept_off_the_whole_device(self):
        adapter, _ = self.known("v17a8p0001:*")
        self.write_local_rules("")
        output = self.udev([adapter], "/sys" + adapter.device)
        self.assertEqual(self.properties(output).get("ID_MM_DEVICE_IGNORE"), "1")
        self.assertNotIn("smartmeterd.service", output)
        with self.subTest("claimed"):
            self.write_local_rules(self.CLAIM.replace('"tty"', '"tty|usb"'))
            output = self.udev([Adapter()], "/sys" + Adapter().device)
            self.assertEqual(self.properties(output).get("ID_MM_DEVICE_IGNORE"), "1")
        with self.subTest("not claimed"):
            self.write_local_rules("")
            self.assertNotIn("ID_MM_DEVICE_IGNORE", self.udev([Adapter()],
                                                              "/sys" + Adapter().device))

    def test_priority(self):
        if os.geteuid() != 0:
            self.skipTest("the kernel lets only root write udev's database")
        output = self.evaluate(Adapter(),
                               self.CLAIM.replace("\n", ', ENV{SMARTMETER_PRIORITY}="high"\n'))
        self.assertRegex(output, r"(?m)^L:10$")  # the entry in udev's database

    def test_port_on_the_board(self):
        output = self.evaluate(BoardPort(), 'KERNEL=="ttyAMA0", ENV{SMARTMETER_KIND}="p1", '
                                            'ENV{SMARTMETER_NAME}="hat"\n')
        self.assertLessEqual({"/dev/smartmeter_p1", "/dev/smartmeter/by-name/hat"},
                             self.links(output))
        self.assert_ours(output)
        self.assert_not_ours(self.evaluate(BoardPort()))

    def test_the_drivers_of_adapters_are_the_same_everywhere(self):
        """Both rules, and what smartmeterctl takes for an adapter."""
        stated = {}
        for path, pattern in (
                ("udev/61-smartmeter.rules", r'^ENV\{ID_USB_DRIVER\}=="([^"]+)"'),
                ("udev/60-smartmeter-any.rules", r'^ACTION.*ENV\{ID_USB_DRIVER\}=="([^"]+)"'),
                ("tools/smartmeterctl/serial_ports.cpp", r"adapter_drivers = \{([^}]+)\}")):
            with open(os.path.join(ROOT, path), encoding="utf-8") as text:
                found = re.findall(pattern, text.read(), re.M)
            self.assertEqual(len(found), 1, path)
            stated[path] = set(re.findall(r"\w+", found[0]))
        self.assertEqual({frozenset(drivers) for drivers in stated.values()},
                         {frozenset(driver for *_, driver in GENERIC)}, stated)

    def test_the_rule_that_takes_every_adapter(self):
        shutil.copy(os.path.join(ROOT, "udev", "60-smartmeter-any.rules"), self.rules)
        for *chip, driver in GENERIC:
            output = self.evaluate(Adapter(*chip, driver=driver))
            self.assertIn("/dev/smartmeter_mbus", self.links(output))
            self.assert_ours(output)
        self.assert_not_ours(self.evaluate(BoardPort()))


if __name__ == "__main__":
    tap.main()
