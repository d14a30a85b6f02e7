# SPDX-License-Identifier: Apache-2.0
"""Every kind of link on a real pty: meters behind a meter, and meters that must be asked.

Each case runs on both back ends of the loop (SMARTMETERD_IO names one).
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import (CORPUS, LIMIT_S, SMARTMETERCTL, SMARTMETERD, TEST_KEY, World, telegrams,
                     wait_for)
from simulated import (AMIS_HELLO, AMIS_KEY, AMIS_TELEGRAM, Line, ModeCMeter, Slave, WiredBus,
                       belgian_p1, dutch_p1, mode_d)

IO = os.environ.get("SMARTMETERD_IO", "auto")
# What the service names when it is asked for a link that does not exist.
LINKS = subprocess.run([SMARTMETERD, "--check", "--device", "/dev/null,link=which"],
                       capture_output=True, text=True, check=False).stderr


def needs(link):
    return unittest.skipUnless(f'"{link}"' in LINKS, f"this build does not know link {link}")


SML = CORPUS / "sml" / "libsml-emh_ehz-gw8e2a500ak2" / "frame.bin"
# The same for every meter of Luxembourg (SMARTY P1 specification 1.1.3).
SMARTY_AUTHENTICATION_KEY = "00112233445566778899AABBCCDDEEFF"


class Family(World):
    def begin(self, device_options="", table=None, meter=None, echo=False):
        """Starts everything; `table` are settings of the adapter's table instead of options."""
        self.bus.start()
        self.broker.start()
        self.line = Line(self.pty, meter, echo)
        self.addCleanup(self.line.stop)
        if table:
            self.config.write_text(f'[gateway]\ninstance = "test"\n[adapter.main]\n'
                                   f'device = "{self.pty.path}"\n{table}')
            self.start_daemon("--io", IO, device="/dev/null")
        else:
            self.start_daemon("--io", IO, device=f"{self.pty.path}{device_options}")
        self.wait_opened()
        return self.subscriber()

    @staticmethod
    def topic_name(meter_id):
        """The meter's level in topics."""
        return re.sub("[^a-z0-9-]", "-", meter_id.lower())

    def meter(self, meter_id):
        path = wait_for(f"meter {meter_id}", lambda: self.bus.meters().get(meter_id))
        return {interface.removeprefix("org.smartmeterd1."):
                {name: value["data"] for name, value in properties.items()}
                for interface, properties in self.bus.objects()[path].items()
                if interface.startswith("org.smartmeterd1.")}


class BehindP1(Family):
    MAIN, GAS, WATER = "E0044007123456789", "G0025003407123456", "W0123456789012345"

    def test_gas_and_water_are_meters_of_their_own(self):
        subscriber = self.begin()
        self.pty.send(dutch_p1())
        state = subscriber.state(self.MAIN.lower())
        self.assertEqual(state["link"], "p1")
        self.assertEqual(state["readings"]["energy_import_t1"], 1234.567)
        self.assertEqual(state["readings"]["power_import"], 545)
        self.assertNotIn("volume", state["readings"])
        gas = subscriber.state(self.GAS.lower())
        self.assertEqual(gas["readings"]["volume"], 123.456)
        self.assertRegex(gas["readings"]["capture_time"], "^2026-11-20T11:55:00")
        water = subscriber.state(self.WATER.lower())
        self.assertEqual(water["readings"]["volume"], 42.001)
        for meter_id, medium in ((self.GAS, "gas"), (self.WATER, "water")):
            info = json.loads(subscriber.wait(f"smartmeter/{meter_id.lower()}/info"))
            self.assertEqual((info["id"], info["medium"], info["parent"]),
                             (meter_id, medium, self.MAIN))
            subscriber.wait(f"smartmeter/{meter_id.lower()}/availability",
                            lambda text: text == "online")
        self.assertEqual(set(self.bus.meters()), {self.MAIN, self.GAS, self.WATER})
        on_bus = self.meter(self.GAS)
        self.assertEqual(on_bus["Meter"]["Parent"], self.bus.meters()[self.MAIN])
        self.assertEqual(on_bus["Meter"]["Medium"], "gas")
        self.assertEqual(on_bus["Volume"]["Volume"], 123.456)
        self.assertNotIn("Electricity", on_bus)
        self.assertEqual(self.meter(self.MAIN)["Meter"]["Parent"], "/")
        self.assertEqual(self.line.written, b"")

    def test_capture_time_has_the_zone_of_the_meter(self):
        subscriber = self.begin(table='[meter.house]\nid = "house"\nadapter = "main"\n'
                                      'zone = "Europe/Amsterdam"\n')
        self.pty.send(dutch_p1())
        gas = subscriber.state(self.GAS.lower())
        self.assertEqual(gas["readings"]["capture_time"], "2026-11-20T11:55:00+01:00")
        self.assertEqual(subscriber.state(self.MAIN.lower())["time"], "2026-11-20T12:00:05+01:00")
        self.assertEqual(self.meter(self.GAS)["Volume"]["CaptureTime"], 1795172100 * 10**6)

    def test_a_replaced_gas_meter_is_a_new_meter(self):
        subscriber = self.begin()
        self.pty.send(dutch_p1())
        subscriber.wait(f"smartmeter/{self.GAS.lower()}/availability",
                        lambda text: text == "online")
        new = "G0025009999999999"
        self.pty.send(dutch_p1(gas=new, gas_m3="00000.001"))
        self.assertEqual(subscriber.state(new.lower())["readings"]["volume"], 0.001)
        subscriber.wait(f"smartmeter/{self.GAS.lower()}/availability",
                        lambda text: text == "offline")
        subscriber.wait(f"smartmeter/{new.lower()}/availability", lambda text: text == "online")
        self.assertEqual(self.meter(self.GAS)["Volume"]["Volume"], 123.456)
        self.assertEqual(len(self.bus.meters()), 4)

    def test_belgium(self):
        subscriber = self.begin()
        self.pty.send(belgian_p1())
        state = subscriber.state("1sag1100000292")
        self.assertEqual(state["readings"]["power_demand_import"], 2351)
        gas = next(meter for meter in self.bus.meters() if meter != "1SAG1100000292")
        values = self.meter(gas)
        self.assertEqual(values["Meter"]["Medium"], "gas")
        self.assertEqual(values["Meter"]["Readings"]["volume_uncorrected"]["data"], 112.384)

    def test_encrypted_smarty_with_its_keys(self):
        self.write_key(TEST_KEY, SMARTY_AUTHENTICATION_KEY)
        subscriber = self.begin()
        octets, values = telegrams("smarty-lu")
        self.pty.send(octets)
        meter = wait_for("a meter", lambda: next(
            (meter for meter, path in self.bus.meters().items()
             if self.bus.property(path, "Meter", "Parent") == "/"), None))
        state = subscriber.state(self.topic_name(meter))
        said = values[0]["readings"]
        self.assertEqual({name: state["readings"].get(name) for name in said}, said)
        self.assertIs(state["authenticated"], True)
        self.assertEqual(state["link"], "p1")

    def test_command_line_shows_them_under_their_meter(self):
        self.begin()
        self.pty.send(dutch_p1())
        wait_for("three meters", lambda: len(self.bus.meters()) == 3)

        def run(*arguments):
            return subprocess.run([SMARTMETERCTL, *arguments, "--bus", self.bus.address],
                                  capture_output=True, text=True, timeout=LIMIT_S,
                                  check=True).stdout
        lines = run("list").splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith(self.MAIN))
        self.assertTrue(lines[at + 1].startswith("  " + self.GAS), lines)
        self.assertTrue(lines[at + 2].startswith("  " + self.WATER), lines)
        self.assertIn(f"gas, behind {self.MAIN}", run("show", self.GAS))
        shown = json.loads(run("show", self.GAS, "--json"))
        self.assertEqual((shown["medium"], shown["parent"]), ("gas", self.MAIN))
        watch = subprocess.Popen([SMARTMETERCTL, "watch", self.GAS, "--count", "1", "--bus",
                                  self.bus.address], stdout=subprocess.PIPE, text=True)
        try:
            def seen():
                self.pty.send(dutch_p1())
                return watch.poll() is not None or time.sleep(0.2)
            wait_for("a line of watch", seen)
            self.assertIn("volume 123.456 m³", watch.stdout.read())
        finally:
            watch.kill()
            watch.wait()
            watch.stdout.close()


class Pushed(Family):
    @needs("iec62056-21")
    def test_mode_d(self):
        subscriber = self.begin(",link=iec62056-21")
        self.pty.send(mode_d())
        state = subscriber.state("0273011003684")
        self.assertEqual(state["link"], "iec62056-21")
        self.assertEqual(state["readings"]["energy_import"], 26107.7034231)
        self.assertEqual(self.line.written, b"")

    @unittest.skipUnless(SML.exists(), "no corpus")
    def test_sml(self):
        subscriber = self.begin()
        self.pty.send(SML.read_bytes())
        meter_id = wait_for("a meter", lambda: next(iter(self.bus.meters()), None))
        readings = subscriber.state(self.topic_name(meter_id))["readings"]
        self.assertEqual(readings["energy_import_t2"], 2.0124)  # as published with the recording
        self.assertEqual(self.meter(meter_id)["Meter"]["Link"], "sml")
        self.assertEqual(self.bus.adapter_property("Protocol"), "sml")
        self.assertEqual(self.line.written, b"")


class Asked(Family):
    @needs("iec62056-21")
    def test_mode_c_readout(self):
        meter = ModeCMeter()
        subscriber = self.begin(",link=iec62056-21,role=reader", meter=meter)
        state = subscriber.state("1emh0012345678")
        self.assertEqual(state["readings"]["energy_import"], 12.345)
        self.assertEqual(state["link"], "iec62056-21")
        self.assertTrue(self.line.written.startswith(b"/?!\r\n\x06050\r\n"), self.line.written)
        self.assertEqual(self.bus.adapter_property("Problem"), "none")

    @needs("iec62056-21")
    def test_mode_c_readout_with_an_echoing_head(self):
        subscriber = self.begin(",link=iec62056-21,role=reader", meter=ModeCMeter(), echo=True)
        state = subscriber.state("1emh0012345678")
        self.assertEqual(state["readings"]["energy_import"], 12.345)
        self.assertEqual(self.bus.adapter_property("Errors"), {})

    def two_slaves(self):
        water = Slave(1, "12345678", 0x07, bytes.fromhex("0C1301420000"))    # 4.201 m³
        heat = Slave(2, "87654321", 0x04, bytes.fromhex("0C0600010000"))     # 100 kWh
        return WiredBus(water, heat), water, heat

    MASTER = ('link = "mbus-master"\nrole = "master"\ninterval = 2\naddresses = ["1", "2"]\n')

    def by_medium(self):
        return {self.meter(meter_id)["Meter"]["Medium"]: meter_id for meter_id in self.bus.meters()}

    @needs("mbus-master")
    def test_wired_bus_with_two_slaves_of_which_one_dies(self):
        for echo in (False, True):
            with self.subTest(echo=echo):
                self.wired_bus(echo)
                self.doCleanups()
                self.setUp()

    def wired_bus(self, echo):
        bus, _, heat = self.two_slaves()
        subscriber = self.begin(table=self.MASTER, meter=bus, echo=echo)
        wait_for("both", lambda: set(self.by_medium()) == {"water", "heat"})
        meters = self.by_medium()
        self.assertIn("12345678", meters["water"])
        self.assertIn("87654321", meters["heat"])
        water = self.meter(meters["water"])
        self.assertEqual(water["Volume"]["Volume"], 4.201)
        self.assertEqual(water["Meter"]["Manufacturer"], "KAM")
        self.assertEqual(water["Meter"]["Link"], "mbus-master")
        self.assertEqual(water["Meter"]["Parent"], "/")
        self.assertEqual(self.meter(meters["heat"])["Volume"]["Energy"], 100)
        heat.alive = False
        slug = meters["heat"].lower()
        subscriber.wait(f"smartmeter/{slug}/availability", lambda text: text == "offline")
        subscriber.wait(f"smartmeter/{meters['water'].lower()}/availability",
                        lambda text: text == "online")
        heat.alive = True
        subscriber.wait(f"smartmeter/{slug}/availability", lambda text: text == "online")
        adapter = next(properties["org.smartmeterd1.Adapter"]
                       for properties in self.bus.objects().values()
                       if properties.get("org.smartmeterd1.Adapter", {}).get(
                           "Protocol", {}).get("data") == "mbus-master")
        self.assertEqual(adapter["Problem"]["data"], "none")
        self.assertEqual(adapter["Errors"]["data"], {})

    @needs("amis")
    def test_amis_is_acknowledged_in_time_and_nothing_else_is_written(self):
        self.write_key(AMIS_KEY)
        subscriber = self.begin(",link=amis,role=reader")
        for octets in (AMIS_HELLO, AMIS_TELEGRAM, AMIS_TELEGRAM):
            before = len(self.line.written)
            sent = time.monotonic()
            self.pty.send(octets)
            wait_for("the acknowledgement", lambda: len(self.line.written) > before)
            self.assertLess(self.line.times[-1] - sent, 0.5)  # the meter's own limit
        topic = wait_for("a state", lambda: next(
            (topic for topic in list(subscriber.latest) if topic.endswith("/state")), None))
        state = json.loads(subscriber.latest[topic])
        self.assertEqual(state["link"], "amis")
        self.assertEqual(state["readings"]["energy_import"], 684.544)
        self.assertEqual(state["readings"]["power_export"], 117)
        damaged = bytearray(AMIS_TELEGRAM)
        damaged[50] ^= 1
        self.pty.send(bytes(damaged))  # not to be acknowledged
        time.sleep(1)
        self.assertEqual(self.line.written, b"\xe5" * 3)

    def test_who_listens_never_writes(self):
        self.write_key(AMIS_KEY)
        bus, water, _ = self.two_slaves()
        self.begin(table='link = "amis"\n', meter=bus)
        self.pty.send(AMIS_HELLO + AMIS_TELEGRAM)
        self.pty.send(ModeCMeter.identification + water.readout() + dutch_p1() + mode_d())
        wait_for("what was sent", lambda: any(
            properties.get("org.smartmeterd1.Adapter", {}).get(
                "BytesReceived", {}).get("data", 0) > 500
            for properties in self.bus.objects().values()))
        time.sleep(3)
        self.assertEqual(self.line.written, b"")


if __name__ == "__main__":
    tap.main()
