#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every member of dbus/org.smartmeterd1.xml, used on a real bus by two clients in other languages.

A member that has no case here fails test_every_member_has_a_case. Each case runs on both back ends
of the loop (SMARTMETERD_IO names one).
"""

import os
import pathlib
import sys
import time
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from bus_client import (OBJECTS, PROPERTIES, ROOT, SERVICE, Busctl, Failed, Monitor, NextClient,
                        Variant, interfaces_of)
from harness import (LIMIT_S, TEST_AUTHENTICATION_KEY, TEST_KEY, World, free_port, telegrams,
                     wait_for)
from simulated import p1

IO = os.environ.get("SMARTMETERD_IO", "auto")
XML = pathlib.Path(os.environ["SOURCE_ROOT"], "dbus", "org.smartmeterd1.xml").read_text()
INTERFACES = {interface.get("name").removeprefix(SERVICE + "."): interface
              for interface in ElementTree.fromstring(XML).iter("interface")}
METER, GAS, HEAT = "E0047000052843216", "G0046003903112717", "H0046003903112719"
NEVER, ALWAYS = "const", "true"
ELECTRICITY = f"{SERVICE}.Electricity"

# A P1 telegram says no more of its time than summer or winter.
CONFIG = f"""[gateway]
instance = "test"
[meter.hall]
id = "{METER}"
name = "Zähler"
zone = "Europe/Amsterdam"
"""

CASES = {}


def case(*members):
    """The members of the interface that a test uses, "Adapter.Probe"."""
    def mark(test):
        for member in members:
            CASES[member] = test.__name__
        return test
    return mark


def members(*kinds):
    """Interface.Member -> element."""
    return {f"{name}.{member.get('name')}": member for name, interface in INTERFACES.items()
            for member in interface if member.tag in kinds}


def emits(element):
    annotation = element.find("annotation")
    return ALWAYS if annotation is None else annotation.get("value")


def telegram(number, *more):
    """With this much power and energy."""
    return p1("ISK5\\2M550T-1012", "1-3:0.2.8(50)",
              f"0-0:96.1.1({METER.encode().hex().upper()})",
              f"1-0:1.8.1({number:06d}.000*kWh)", f"1-0:1.7.0(00.{number:03d}*kW)", *more)


class Api(World):
    def setUp(self):
        super().setUp()
        self.bus.start()
        self.broker.start()
        self.config.write_text(CONFIG)
        self.write_key(TEST_KEY, TEST_AUTHENTICATION_KEY)
        self.start_daemon("--io", IO)
        self.wait_opened()
        self.next = NextClient(self.bus.address)
        self.addCleanup(self.next.close)
        self.busctl = Busctl(self.bus.address)
        wait_for("the adapter", lambda: self.adapters() or None)

    def adapters(self):
        return self.paths("Adapter")

    def paths(self, interface):
        """Of the objects that have it, as dbus-next sees them."""
        try:
            return [path for path, has in self.next.objects().items()
                    if f"{SERVICE}.{interface}" in has]
        except Failed:
            return []

    def meter(self, meter_id):
        def found():
            try:
                return self.next.call(ROOT, f"{SERVICE}.Manager", "GetMeter", "s", meter_id)[0]
            except Failed:
                return None
        return wait_for(f"meter {meter_id}", found)

    def monitor(self):
        monitor = Monitor(self.bus.address)
        self.addCleanup(monitor.stop)
        monitor.wait_started()
        return monitor

    def failure(self, call, *arguments):
        with self.assertRaises(Failed) as failed:
            call(*arguments)
        return failed.exception.name, failed.exception.text

    def probe(self, options):
        return self.next.call(self.adapters()[0], f"{SERVICE}.Adapter", "Probe", "a{sv}", options)


class Members(Api):
    """Each member once."""

    def test_every_member_has_a_case(self):
        self.assertEqual(sorted(members("property", "method", "signal")), sorted(CASES))

    def test_introspection_of_every_object_is_the_xml(self):
        self.pty.send(telegrams("dsmr-5")[0])
        self.meter(HEAT)
        file = interfaces_of(XML)
        seen = set()
        for path in [ROOT, *self.next.objects()]:
            served = interfaces_of(self.next.introspect(path))
            self.assertEqual(served, {name: file[name] for name in served}, path)
            self.assertEqual(served, interfaces_of(
                self.busctl.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")[0]))
            seen |= set(served)
        self.assertEqual(seen, set(file))

    def expected(self, said):
        """Interface.Property -> the value, or what is true of it; said: what the meter said."""
        gas, heat = self.meter(GAS), self.meter(HEAT)
        main, adapter = self.meter(METER), self.adapters()[0]
        broker = f"127.0.0.1:{self.broker.port}"
        now = time.time() * 1e6

        def is_now(value):
            return now - LIMIT_S * 2e6 < value <= time.time() * 1e6

        def is_latency(value):
            count, least, median, p99, most = value
            return count >= 2 and 0 < least <= median <= p99 <= most < LIMIT_S
        return {
            ROOT: {
                "Manager.Version": lambda v: v[0].isdigit(),
                "Manager.Features": lambda v: v == [IO] or IO == "auto",
                "Manager.Counters": lambda v: v["readings-not-signalled"] == 0,
            },
            self.paths("Publisher")[0]: {
                "Publisher.Role": "sink", "Publisher.State": "online",
                "Publisher.Broker": broker, "Publisher.LastError": "", "Publisher.Queued": 0,
                "Publisher.Dropped": 0, "Publisher.Published": lambda v: v > 2,
                "Publisher.Latency": is_latency,
            },
            adapter: {
                "Adapter.Name": lambda v: v != "",
                "Adapter.Device": str(self.pty.path), "Adapter.Links": [], "Adapter.Kind": "",
                "Adapter.UsbId": "", "Adapter.Serial": "", "Adapter.State": "synced",
                "Adapter.Problem": "none", "Adapter.LineSettings": lambda v: "-" in v,
                "Adapter.LineSource": lambda v: v in ("default", "detected"),
                "Adapter.Protocol": "p1",
                "Adapter.BytesReceived": len(self.sent), "Adapter.TelegramsReceived": 2,
                "Adapter.Errors": lambda v: isinstance(v, dict),
                "Adapter.Latencies": lambda v: is_latency(v["decoded"]),
                "Adapter.LastActivity": is_now,
            },
            main: {
                "Meter.Id": METER, "Meter.Name": "Zähler", "Meter.Medium": "electricity",
                "Meter.Manufacturer": lambda v: isinstance(v, str), "Meter.Model": "",
                "Meter.Adapter": adapter, "Meter.Parent": "/", "Meter.Encrypted": False,
                "Meter.KeyState": "not-needed", "Meter.Interval": lambda v: v > 0,
                "Meter.LastUpdate": is_now, "Meter.Sequence": 2,
                "Meter.Registers": lambda v: v["1-0:32.7.0"] == [
                    round(said["voltage_l1"] * 10), -1, "V"],
                "Meter.Texts": lambda v: v["1-3:0.2.8"] == "50",
                "Meter.Readings": lambda v: v["power_import"]["data"] == said["power_import"],
                "Meter.MeterTime": lambda v: v.startswith("20"),
                "Meter.Authenticated": "not-encrypted", "Meter.Link": "p1",
                "Electricity.PowerImport": said["power_import"],
                "Electricity.PowerExport": said["power_export"],
                "Electricity.ReactivePowerImport": None, "Electricity.ReactivePowerExport": None,
                "Electricity.EnergyImport": lambda v: abs(
                    v - said["energy_import_t1"] - said["energy_import_t2"]) < 1e-6,
                "Electricity.EnergyExport": lambda v: abs(
                    v - said["energy_export_t1"] - said["energy_export_t2"]) < 1e-6,
                "Electricity.ReactiveEnergyImport": None,
                "Electricity.ReactiveEnergyExport": None,
                "Electricity.EnergyImportTariffs": [said["energy_import_t1"],
                                                    said["energy_import_t2"]],
                "Electricity.EnergyExportTariffs": [said["energy_export_t1"],
                                                    said["energy_export_t2"]],
                "Electricity.Tariff": said["tariff"],
                "Electricity.Voltage": [said[f"voltage_l{phase}"] for phase in (1, 2, 3)],
                "Electricity.Current": [said[f"current_l{phase}"] for phase in (1, 2, 3)],
                "Electricity.PowerFactor": None, "Electricity.Frequency": None,
            },
            gas: {
                "Meter.Id": GAS, "Meter.Medium": "gas", "Meter.Parent": main,
                "Volume.Volume": lambda v: v > 0, "Volume.Energy": None,
                "Volume.CaptureTime": lambda v: abs(v - now) < 86400e6,
            },
            heat: {"Volume.Volume": None, "Volume.Energy": lambda v: v > 0},
        }

    @case(*members("property"))
    def test_every_property_by_both_clients(self):
        self.sent, values = telegrams("dsmr-5", 2)
        half = self.sent.index(b"!") + 7
        self.pty.send(self.sent[:half])
        wait_for("the first", lambda: self.next.get(
            self.meter(METER), f"{SERVICE}.Meter", "Sequence")["data"] == 1)
        time.sleep(0.2)
        self.pty.send(self.sent[half:])
        wait_for("the second", lambda: self.next.get(
            self.meter(METER), f"{SERVICE}.Meter", "Sequence")["data"] == 2)
        publisher = self.paths("Publisher")[0]
        wait_for("the broker", lambda: self.next.get(
            publisher, f"{SERVICE}.Publisher", "Latency")["data"][0] >= 2)
        seen = {}
        for path, expected in self.expected(values[1]["readings"]).items():
            for property_name, value in expected.items():
                interface, name = property_name.split(".")
                got = self.next.get(path, f"{SERVICE}.{interface}", name)
                with self.subTest(property_name, got=got):
                    self.assertEqual(got["type"], members("property")[property_name].get("type"))
                    if callable(value):
                        self.assertTrue(value(got["data"]))
                    else:
                        self.assertEqual(got["data"], value)
                    self.assertEqual(self.busctl.get(path, f"{SERVICE}.{interface}", name), got)
                seen[property_name] = path
        self.assertEqual(sorted(seen), sorted(members("property")))
        for name, interface in INTERFACES.items():  # all at once, and in the order of the file
            path = next(seen[f"{name}.{member.get('name')}"] for member in interface)
            everything = self.next.call(path, PROPERTIES, "GetAll", "s", f"{SERVICE}.{name}")[0]
            self.assertEqual(list(everything), [member.get("name") for member in interface
                                                if member.tag == "property"])
            name = f"{SERVICE}.{name}"
            if path != ROOT:
                self.assertEqual(self.next.objects()[path][name].keys(), everything.keys())

    @case("Manager.Reload")
    def test_reload(self):
        manager = f"{SERVICE}.Manager"
        self.assertEqual(self.next.call(ROOT, manager, "Reload"), [])
        self.assertEqual(self.busctl.call(ROOT, manager, "Reload"), [])
        self.config.write_text("[gateway]\nflavour = 3\n")
        name, text = self.failure(self.next.call, ROOT, manager, "Reload")
        self.assertEqual(name, "InvalidConfiguration")
        self.assertIn(f"{self.config}:2:", text)
        self.assertIn("flavour", self.failure(self.busctl.call, ROOT, manager, "Reload")[1])
        self.assertEqual(self.adapters(), self.paths("Adapter"), "what ran before goes on")

    @case("Manager.GetMeter")
    def test_get_meter(self):
        manager = f"{SERVICE}.Manager"
        self.pty.send(telegram(1))
        path = self.meter(METER)
        self.assertEqual(path, f"{ROOT}/meter/{METER}")
        self.assertEqual(self.busctl.call(ROOT, manager, "GetMeter", "s", METER), [path])
        name, text = self.failure(self.next.call, ROOT, manager, "GetMeter", "s", METER.lower())
        self.assertEqual(name, "NoSuchMeter")
        self.assertIn("case-sensitive", text)
        self.assertIn("case-sensitive",
                      self.failure(self.busctl.call, ROOT, manager, "GetMeter", "s", "")[1])

    @case("Adapter.Probe", "Adapter.ProbeProgress")
    def test_probe(self):
        adapter, monitor = self.adapters()[0], self.monitor()
        self.assertEqual(self.failure(self.probe, {"timeout-ms": Variant("s", "1000")})[0],
                         "InvalidOption")
        self.assertEqual(self.failure(self.probe, {"timeout-ms": Variant("u", 0)})[0],
                         "InvalidOption")
        pending = self.next.begin(adapter, f"{SERVICE}.Adapter", "Probe", "a{sv}",
                                  [{"timeout-ms": Variant("u", 500)}])
        self.assertEqual(self.failure(self.probe, {})[0], "InProgress")
        self.assertEqual(self.failure(self.next.answer, pending)[0], "NoData")

        pending = self.next.begin(adapter, f"{SERVICE}.Adapter", "Probe", "a{sv}",
                                  [{"timeout-ms": Variant("u", 1500), "colour": Variant("s", "")}])
        while not pending.done():
            self.pty.send(b"x" * 20)
            time.sleep(0.1)
        self.assertEqual(self.failure(self.next.answer, pending)[0], "Timeout")

        def is_progress(heard):
            return heard.member == "ProbeProgress" and heard.path == adapter and \
                {name: value["type"] for name, value in heard.body[0].items()} == {
                    "line-settings": "s", "bytes": "t", "frames": "t", "frame-starts": "t",
                    "errors": "t", "message": "s"} and heard.body[0]["bytes"]["data"] > 0
        self.next.wait_signal("the progress", is_progress)
        monitor.wait_signal("the progress", is_progress)

        def probe_fed(start, done, answer):
            probing = start()
            for number in range(1, 10000):
                if done(probing):
                    return answer(probing)
                self.pty.send(telegram(number))
                time.sleep(0.2)
            raise AssertionError("the probe does not end")
        result = probe_fed(
            lambda: self.next.begin(adapter, f"{SERVICE}.Adapter", "Probe", "a{sv}", [{}]),
            lambda probing: probing.done(), lambda probing: self.next.answer(probing).body[0])
        self.assertEqual({name: value.signature for name, value in result.items()},
                         {"line-settings": "s", "protocol": "s", "meter": "o"})
        self.assertEqual((result["protocol"].value, result["meter"].value),
                         ("p1", self.meter(METER)))

    @case("Adapter.OpenCapture")
    def test_open_capture(self):
        adapter, interface = self.adapters()[0], f"{SERVICE}.Adapter"

        def opened(**options):
            stream = self.next.call(adapter, interface, "OpenCapture", "a{sv}", {
                key: Variant("s", value) for key, value in options.items()})[0]
            self.addCleanup(os.close, stream)
            return stream
        raw, text = opened(), opened(format="capture")
        self.assertFalse(os.get_blocking(raw))
        self.pty.send(b"\x68\xfa\x00")

        def read(stream, wanted):
            got = b""

            def more():
                nonlocal got
                try:
                    got += os.read(stream, 4096)
                except BlockingIOError:
                    pass
                return wanted in got
            wait_for(wanted, more)
            return got
        self.assertEqual(read(raw, b"\x00"), b"\x68\xfa\x00")
        self.assertTrue(read(text, b"68FA00").startswith(b"#smartmeter-capture 1\n"))
        self.assertEqual(self.failure(lambda: opened(format="pcap"))[0], "InvalidOption")
        opened()
        opened()
        name, words = self.failure(opened)
        self.assertEqual(name, "LimitReached")
        self.assertIn("as many captures", words)
        self.assertIn("as many captures", self.failure(
            self.busctl.call, adapter, interface, "OpenCapture", "a{sv}", "0")[1])

    @case("Meter.History")
    def test_history(self):
        self.pty.send(telegram(1))
        path, interface = self.meter(METER), f"{SERVICE}.Meter"
        name, text = self.failure(self.next.call, path, interface, "History", "ttua{sv}", 2, 1, 0,
                                  {})
        self.assertIn(name, ("InvalidOption", "org.freedesktop.DBus.Error.NotSupported"))
        if name != "InvalidOption":
            self.skipTest(text)
        until = int(time.time() + 3600) * 1000000
        rows = self.next.call(path, interface, "History", "ttua{sv}", 0, until, 0, {})[0]
        self.assertEqual(sum(values["telegrams"] for _, values in rows), 1)
        self.assertEqual(rows[-1][1]["power_import_max"], 1)
        self.assertEqual(rows[-1][0] % 900_000_000, 0)
        days = {"period": Variant("s", "day"), "zone": Variant("s", "Europe/Vienna")}
        self.assertEqual(len(self.next.call(path, interface, "History", "ttua{sv}",
                                            until - 86400_000_000, until, 0, days)[0]), 1)
        self.assertEqual(self.busctl.call(path, interface, "History", "ttua{sv}", "0", str(until),
                                          "0", "0")[0], rows)
        for step, options in ((901, {}), (900, days), (0, {"period": Variant("s", "year")}),
                              (0, {"zone": Variant("s", "Atlantis/Capital"),
                                   "period": Variant("s", "day")}),
                              (0, {"zone": Variant("u", 1)})):
            self.assertEqual(self.failure(self.next.call, path, interface, "History", "ttua{sv}",
                                          0, until, step, options)[0], "InvalidOption")

    @case("Meter.Reading")
    def test_reading(self):
        monitor = self.monitor()
        for number in (1, 2):
            self.pty.send(telegram(number))
        path = self.meter(METER)

        def is_second(heard):
            return (heard.path, heard.interface, heard.member, *heard.body[1:2]) == (
                path, f"{SERVICE}.Meter", "Reading", 2)
        heard = self.next.wait_signal("the second reading", is_second)
        self.assertEqual(heard.body[2]["power_import"], {"type": "d", "data": 2})
        self.assertEqual(heard.body[0],
                         self.next.get(path, f"{SERVICE}.Meter", "LastUpdate")["data"])
        self.assertEqual(monitor.wait_signal("the second reading", is_second).body, heard.body)

    @case("Adapter.TelegramRejected")
    def test_telegram_rejected(self):
        monitor, adapter = self.monitor(), self.adapters()[0]
        self.pty.send(telegram(1))
        self.meter(METER)
        self.pty.send(telegram(2).replace(b"*kWh", b"*kWx"))

        def is_rejection(heard):
            return (heard.path, heard.member) == (adapter, "TelegramRejected")
        heard = self.next.wait_signal("the rejection", is_rejection)
        self.assertEqual(heard.body[0], "bad-checksum")
        self.assertEqual({key: value["type"] for key, value in heard.body[1].items()},
                         {"message": "s", "offset": "u", "count": "t"})
        self.assertEqual(monitor.wait_signal("the rejection", is_rejection).body, heard.body)


class Objects(Api):
    """Objects appear and vanish by ObjectManager; signals are of what it shows."""

    SUB_METER = ("0-1:24.1.0(003)", "0-1:96.1.0(4730303436303033393033313132373137)",
                 "0-1:24.2.1(261127035755W)(00013.092*m3)")

    def replay(self, start, signals):
        """Follows the signals from what there was; what there is then."""
        known = {path: {name for name in has if name.startswith(SERVICE)}
                 for path, has in start.items()}
        changed = {}  # path -> interfaces, since its last Reading
        for heard in signals:
            if heard.interface == OBJECTS:
                path, content = heard.body
                interfaces = {name for name in content if name.startswith(SERVICE)}
                if heard.member == "InterfacesAdded":
                    self.assertNotIn(path, known)
                    known[path] = interfaces
                else:
                    self.assertEqual(interfaces, known.pop(path), heard)
                continue
            self.assertIn(heard.path, known, heard)
            interface = heard.interface
            if interface == PROPERTIES:
                interface, values, invalidated = heard.body
                own = members("property")
                short = interface.removeprefix(SERVICE + ".")
                for name in values:
                    self.assertEqual(emits(own[f"{short}.{name}"]), ALWAYS, heard)
                for name in invalidated:
                    self.assertEqual(emits(own[f"{short}.{name}"]), "invalidates", heard)
                self.assertNotIn(interface, changed.get(heard.path, ()), "two for one telegram")
                changed.setdefault(heard.path, set()).add(interface)
                if "Adapter" in interface or "Publisher" in interface:
                    changed.clear()  # these are not of telegrams
            elif heard.member == "Reading":
                changed[heard.path] = set()
            self.assertIn(interface, known[heard.path], heard)
        return known

    def added(self, since, interface):
        """The path of the object that appeared, once what was said of it is what there is."""
        heard = self.next.wait_signal(
            f"a new {interface}", lambda s: s.member == "InterfacesAdded" and
            f"{SERVICE}.{interface}" in s.body[1], since)
        path, content = heard.body
        there = self.next.objects()[path]
        self.assertEqual(list(content), list(there))
        own = members("property")
        for name, values in there.items():
            emitted = {key: emits(own[f"{name.removeprefix(SERVICE + '.')}.{key}"])
                       for key in values}
            self.assertEqual(list(content[name]), [key for key in values
                                                   if emitted[key] != "invalidates"])
            self.assertEqual({key: content[name][key] for key in values if emitted[key] == NEVER},
                             {key: values[key] for key in values if emitted[key] == NEVER})
        return path

    def removed(self, since, path, *interfaces):
        heard = self.next.wait_signal(f"the end of {path}", lambda s: s.member ==
                                      "InterfacesRemoved" and s.body[0] == path, since)
        self.assertEqual({name for name in heard.body[1] if name.startswith(SERVICE)},
                         {f"{SERVICE}.{name}" for name in interfaces})
        self.assertNotIn(path, self.next.objects())

    def reload(self, more):
        """The configuration with these lines, read again."""
        self.config.write_text(CONFIG + more)
        since = len(self.next.signals)
        self.next.call(ROOT, f"{SERVICE}.Manager", "Reload")
        return since

    def test_every_kind_of_object_comes_and_goes(self):
        start = self.next.objects()
        since = len(self.next.signals)
        self.pty.send(telegram(1))
        self.assertEqual(self.added(since, "Electricity"), f"{ROOT}/meter/{METER}")

        sub = len(self.next.signals)
        self.pty.send(telegram(3, *self.SUB_METER))
        gas = self.added(sub, "Volume")
        self.assertEqual(self.next.get(gas, f"{SERVICE}.Meter", "Parent")["data"],
                         f"{ROOT}/meter/{METER}")

        second = self.reload(f'[broker.second]\nurl = "mqtt://127.0.0.1:{free_port()}"\n')
        broker = self.added(second, "Publisher")
        self.assertEqual(broker, f"{ROOT}/broker/second")
        self.removed(self.reload(""), broker, "Publisher")

        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        cellar = self.reload(f'[adapter.cellar]\ndevice = "{os.ttyname(slave)}"\n')
        adapter = self.added(cellar, "Adapter")
        self.assertEqual(self.next.get(adapter, f"{SERVICE}.Adapter", "Name")["data"],
                         "cellar")
        self.removed(self.reload(""), adapter, "Adapter")

        known = self.replay(start, self.next.signals[since:])
        self.assertEqual(known, {path: {name for name in has if name.startswith(SERVICE)}
                                 for path, has in self.next.objects().items()})


class Robust(Api):
    """What others do to the bus, or over it, is no harm."""

    def feed_and_check(self, number=1):
        """A telegram still arrives, on the broker too."""
        subscriber = self.subscriber()
        self.pty.send(telegram(number))
        subscriber.state(METER.lower(), lambda state: state["readings"]["power_import"] == number)
        self.assertEqual(self.next.get(self.meter(METER), ELECTRICITY, "PowerImport")["data"],
                         number)

    def test_the_bus_goes_in_the_middle_of_a_probe(self):
        self.next.begin(self.adapters()[0], f"{SERVICE}.Adapter", "Probe", "a{sv}",
                        [{"timeout-ms": Variant("u", LIMIT_S * 1000)}])
        wait_for("the search", lambda: self.failure(self.probe, {})[0] == "InProgress")
        self.bus.stop()
        self.bus.start()
        self.next = NextClient(self.bus.address)
        self.addCleanup(self.next.close)
        wait_for("the service", lambda: self.adapters() or None)
        self.assertEqual(self.failure(self.probe, {})[0], "InProgress", "it goes on")
        self.feed_and_check()

    def test_a_flood_of_calls_keeps_no_telegram_waiting(self):
        self.feed_and_check()
        calls = [self.next.begin(self.meter(METER), PROPERTIES, "GetAll", "s",
                                 [f"{SERVICE}.Meter"]) for _ in range(1000)]
        self.pty.send(telegram(2))
        self.subscriber().state(METER.lower(), lambda state: state["sequence"] == 2)
        for call in calls:
            self.next.answer(call)
        self.feed_and_check(3)

    def test_options_that_nobody_expects(self):
        huge = "x" * (1 << 20)
        self.assertEqual(self.failure(self.probe, {huge: Variant("s", huge),
                                                   "timeout-ms": Variant("u", 1)})[0], "NoData")
        for value in (Variant("i", -1), Variant("t", 1), Variant("s", huge), Variant("v", Variant(
                "u", 1)), Variant("a{sv}", {"timeout-ms": Variant("u", 1)}), Variant("d", 1.5)):
            name, text = self.failure(self.probe, {"timeout-ms": value})
            self.assertEqual(name, "InvalidOption")
            self.assertEqual(text, 'option "timeout-ms": its value is of type '
                             f'"{value.signature}", expected "u"')
        self.assertEqual(self.failure(self.probe, {"timeout-ms": Variant("u", 0xffffffff)})[0],
                         "InvalidOption")
        name, text = self.failure(self.next.call, ROOT, f"{SERVICE}.Manager", "GetMeter", "s", huge)
        self.assertEqual(name, "NoSuchMeter")
        self.assertLess(len(text), 300)
        self.feed_and_check()

    def test_captures_leave_no_descriptor_behind(self):
        descriptors = pathlib.Path(f"/proc/{self.daemon.pid}/fd")
        adapter = self.adapters()[0]

        def capture():
            os.close(self.next.call(adapter, f"{SERVICE}.Adapter", "OpenCapture", "a{sv}", {})[0])
        self.feed_and_check()  # whatever the service opens by itself is open
        before = len(list(descriptors.iterdir()))
        for _ in range(1000):
            capture()
        # What is written next finds out that nobody reads the last one.
        self.feed_and_check(2)
        wait_for("the descriptors", lambda: len(list(descriptors.iterdir())) <= before)

    def test_a_meter_whose_id_is_no_text(self):
        for octets in (b"\xff\xfe\xc3(", b"\x00\x01\x02", b"a/../b", b"\x1b[2J"):
            with self.subTest(octets):
                before = set(self.paths("Electricity"))
                self.pty.send(p1("ISK5\\2M550T-1012", "1-3:0.2.8(50)",
                                 f"0-0:96.1.1({octets.hex().upper()})", "1-0:1.7.0(00.001*kW)"))
                path = wait_for("the meter",
                                lambda: set(self.paths("Electricity")) - before or None).pop()
                shown = self.next.get(path, f"{SERVICE}.Meter", "Id")["data"]
                self.assertEqual(self.meter(shown), path, "what is shown can be asked for")


if __name__ == "__main__":
    tap.main()
