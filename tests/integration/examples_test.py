# SPDX-License-Identifier: Apache-2.0
"""dbus/examples as people run them: a real daemon, a private system bus, a private session bus."""

import asyncio
import os
import pathlib
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

from dbus_next import Message, MessageType
from dbus_next.aio import MessageBus
from dbus_next.service import ServiceInterface, method

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import LIMIT_S, Bus, World, stop, telegrams, wait_for  # noqa: E402
from simulated import crc16_arc  # noqa: E402

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "dbus" / "examples"
METER = "181220000009"
ITEM = "org.kde.StatusNotifierItem"
WATCHER, WATCHER_PATH = "org.kde.StatusNotifierWatcher", "/StatusNotifierWatcher"


def p1_telegram(meter, power_import, power_export, energy_import=1234.567):
    """A telegram of a meter of our own choice: watts and kWh."""
    body = (f"/TST5EXAMPLE\r\n\r\n1-3:0.2.8(50)\r\n0-0:96.1.1({meter.encode().hex().upper()})\r\n"
            f"1-0:1.8.0({energy_import:010.3f}*kWh)\r\n1-0:2.8.1(000012.000*kWh)\r\n"
            f"1-0:1.7.0({power_import / 1000:06.3f}*kW)\r\n"
            f"1-0:2.7.0({power_export / 1000:06.3f}*kW)\r\n!").encode()
    return body + f"{crc16_arc(body):04X}\r\n".encode()


class FakePanel:
    """A panel: shows what an item says of itself, and reads again what the item says is new."""

    def __init__(self, address):
        self.address = address
        self.item, self.shown, self.titles, self.registered = None, {}, [], 0
        self.loop = asyncio.new_event_loop()
        self.over = None
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.run(),))
        self.thread.start()

    class Watcher(ServiceInterface):
        def __init__(self, panel):
            super().__init__(WATCHER)
            self.panel = panel

        @method()
        def RegisterStatusNotifierItem(self, service: 's'):  # noqa: N802
            self.panel.register(service)

    async def run(self):
        self.over = asyncio.Event()
        self.bus = await MessageBus(bus_address=self.address).connect()
        self.bus.add_message_handler(self.on_message)
        await self.call("org.freedesktop.DBus", "/", "org.freedesktop.DBus", "AddMatch",
                        f"type='signal',interface='{ITEM}'")
        self.bus.export(WATCHER_PATH, self.Watcher(self))
        await self.bus.request_name(WATCHER)
        await self.over.wait()
        self.bus.disconnect()

    async def call(self, destination, path, interface, member, *texts):
        """The answer; None where nobody gives one."""
        reply = await self.bus.call(Message(
            destination=destination, path=path, interface=interface, member=member,
            signature="s" * len(texts), body=list(texts)))
        return reply.body if reply.message_type == MessageType.METHOD_RETURN else None

    def register(self, service):
        self.item = service
        self.registered += 1
        self.read("Id", "Category", "Title", "Status", "IconName", "ToolTip", "ItemIsMenu", "Menu")

    def read(self, *names):
        for name in names:
            asyncio.ensure_future(self.read_one(name), loop=self.loop)

    async def read_one(self, name):
        answer = await self.call(self.item, "/StatusNotifierItem",
                                 "org.freedesktop.DBus.Properties", "Get", ITEM, name)
        if answer is None:
            return  # the item has gone
        self.shown[name] = answer[0].value
        if name == "Title":
            self.titles.append(answer[0].value)

    def on_message(self, message):
        if message.interface != ITEM or message.message_type != MessageType.SIGNAL:
            return
        if message.member == "NewStatus":
            self.shown["Status"] = message.body[0]
        else:
            self.read(*{"NewTitle": ["Title"], "NewIcon": ["IconName"],
                        "NewToolTip": ["ToolTip"]}.get(message.member, []))

    def wait(self, **wanted):
        """Until the panel shows all of this."""
        wait_for(f"{wanted}; the panel shows {self.shown} after {self.titles}",
                 lambda: all(self.shown.get(name) == value for name, value in wanted.items()))

    def stop(self):
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join(LIMIT_S)
        self.loop.close()


class Examples(World):
    def setUp(self):
        super().setUp()
        self.session_directory = self.directory / "session"
        self.session_directory.mkdir()
        self.session = Bus(self.session_directory)
        self.addCleanup(self.session.stop)
        self.bus.start()

    def environment(self):
        return dict(os.environ, DBUS_SYSTEM_BUS_ADDRESS=self.bus.address,
                    DBUS_SESSION_BUS_ADDRESS=self.session.address)

    def start(self, link="p1"):
        """The daemon, and what was logged before is not its own."""
        self.start_daemon(device=f"{self.pty.path},link={link}", mqtt=False)
        wait_for("the daemon on the bus", lambda: self.bus.adapter_property("State") == "probing")

    def live_a_day(self, *energies):
        """What the meter E1 said in former quarter hours lies in the database as of yesterday."""
        self.start()
        for energy in energies:
            self.pty.send(p1_telegram("E1", 500, 0, energy))
            wait_for("the telegram", lambda energy=energy: "E1" in self.bus.meters() and
                     self.bus.property(self.bus.meters()["E1"], "Electricity", "EnergyImport") ==
                     energy)
        stop(self.daemon)
        database = sqlite3.connect(self.directory / "state" / "state.db")
        with database:
            database.execute("UPDATE history SET start = start - 24 * 3600")
        database.close()

    def run_example(self, name, *arguments, code=0):
        """Its output; `code`: that it ends with."""
        done = subprocess.run([EXAMPLES / name, *arguments], env=self.environment(),
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def start_example(self, name, *arguments):
        """The lines that it prints, as they come."""
        process = subprocess.Popen([EXAMPLES / name, *arguments], env=self.environment(),
                                   stdout=subprocess.PIPE, text=True)
        lines = []

        def read():
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
        thread = threading.Thread(target=read, daemon=True)
        thread.start()

        def end():
            stop(process)
            thread.join(LIMIT_S)
            process.stdout.close()
        self.addCleanup(end)
        return lines

    def wait_line(self, lines, text):
        wait_for(f"{text!r} in {lines}", lambda: any(text in line for line in lines))


class PowerIndicator(Examples):
    def panel(self):
        panel = FakePanel(self.session.address)
        self.addCleanup(panel.stop)
        return panel

    def test_panel_shows_the_power(self):
        self.session.start()
        panel = self.panel()
        self.start_example("power-indicator")
        panel.wait(Id="smartmeterd-power", Title="smartmeterd is not running", Status="Passive",
                   IconName="network-offline", Category="Hardware", ItemIsMenu=False)
        self.start()
        panel.wait(Title="No meter yet", Status="Active", IconName="dialog-question")
        self.pty.send(p1_telegram("E1", 1234, 0))
        panel.wait(Title="1.23 kW from the grid", IconName="go-down", Status="Active")
        panel.wait(ToolTip=panel.shown["ToolTip"])
        icon, pixmaps, title, text = wait_for("the tooltip", lambda: (
            panel.shown["ToolTip"] if "Import" in panel.shown["ToolTip"][3] else None))
        self.assertEqual((icon, pixmaps, title), ("go-down", [], "1.23 kW from the grid"))
        self.assertIn("<b>E1</b>", text)
        self.assertIn("Import: 1.23 kW", text)
        self.assertIn("Export: 0 W", text)
        self.pty.send(p1_telegram("E1", 0, 850))
        wait_for("the export", lambda: "850 W into the grid" in panel.titles)
        # Its interval is known now, and nothing more comes.
        panel.wait(Title="The meter is silent", Status="NeedsAttention", IconName="dialog-warning")
        self.pty.send(p1_telegram("E1", 85, 0))
        wait_for("the meter again", lambda: "85 W from the grid" in panel.titles)
        stop(self.daemon)
        panel.wait(Title="smartmeterd is not running", Status="Passive")
        self.start()
        panel.wait(Title="No meter yet")

    def test_the_meter_that_is_named(self):
        self.session.start()
        panel = self.panel()
        self.start_example("power-indicator", "E2")
        self.start()
        panel.wait(Title="No meter E2")
        self.pty.send(p1_telegram("E1", 100, 0))
        wait_for("the first meter", lambda: "E1" in self.bus.meters())
        self.pty.send(p1_telegram("E2", 200, 0))
        panel.wait(Title="200 W from the grid")
        self.assertNotIn("100 W from the grid", panel.titles)

    def test_a_panel_that_comes_later_and_again(self):
        self.session.start()
        self.start()
        self.pty.send(p1_telegram("E1", 400, 0))
        self.start_example("power-indicator")
        panel = FakePanel(self.session.address)
        panel.wait(Title="400 W from the grid")
        panel.stop()
        panel = self.panel()
        panel.wait(Title="400 W from the grid")
        self.assertEqual(panel.registered, 1)

    def test_no_session_bus(self):
        self.assertIn("bus is not to be had", self.run_example("power-indicator", code=1))


class MeterAlarm(Examples):
    def test_says_when_the_power_exceeds_the_limit_and_no_more(self):
        told = self.directory / "told"
        script = self.directory / "tell"
        script.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >> {told}\n')
        script.chmod(0o755)
        lines = self.start_example("meter-alarm.sh", "-i", "0.2", "-x", f"{script} Meter", "1000")
        self.wait_line(lines, "no meter")
        self.start()
        self.pty.send(p1_telegram("E1", 900, 0))
        self.wait_line(lines, "900 W: within 1000 W")
        self.pty.send(p1_telegram("E1", 1500, 0))
        self.wait_line(lines, "1500 W: more than 1000 W")
        self.pty.send(p1_telegram("E1", 1600, 0))
        self.pty.send(p1_telegram("E1", 0, 700))
        self.wait_line(lines, "-700 W: within 1000 W")
        said = "".join(f"Meter|{line}|" for line in lines)
        wait_for("the command", lambda: told.read_text() == said)
        self.assertEqual([line for line in lines if "more than" in line][1:], [])

    def test_one_look(self):
        self.assertIn("no meter", self.run_example("meter-alarm.sh", "-e", code=1))
        self.run_example("meter-alarm.sh", "-1", "1000", code=1)
        self.start()
        self.pty.send(p1_telegram("E1", 1200, 0))
        wait_for("the meter", lambda: "E1" in self.bus.meters())
        self.run_example("meter-alarm.sh", "-1", "-m", "E1", "1000", code=3)
        self.assertEqual(self.run_example("meter-alarm.sh", "-1", "1200"), "")
        self.run_example("meter-alarm.sh", "-1", "-m", "E2", "1000", code=1)
        self.run_example("meter-alarm.sh", "-1", "-m", "E1", "many", code=2)
        self.run_example("meter-alarm.sh", "-1", "-m", "E1", "9" * 20, code=2)
        self.run_example("meter-alarm.sh", code=2)
        self.run_example("meter-alarm.sh", "-e", "1000", code=2)
        self.assertIn("Usage", self.run_example("meter-alarm.sh", "-h"))

    def test_energy_of_today(self):
        self.live_a_day(1000.0)
        self.start()
        self.pty.send(p1_telegram("E1", 500, 0, 1002.5))
        wait_for("the meter", lambda: "E1" in self.bus.meters())
        self.assertEqual(self.run_example("meter-alarm.sh", "-e"), "2.5 kWh\n")

    def test_energy_of_the_first_day(self):
        self.start()
        self.pty.send(p1_telegram("E1", 500, 0, 1002.5))
        wait_for("the meter", lambda: "E1" in self.bus.meters())
        self.assertIn("not known yet", self.run_example("meter-alarm.sh", "-e", code=1))


class MeterClient(Examples):
    def setUp(self):
        super().setUp()
        self.write_key()

    def test_objects_come_and_go(self):
        self.start("auto")
        lines = self.start_example("meter_client.py", "objects")
        self.wait_line(lines, "org.smartmeterd1.Adapter: ")
        self.pty.send(telegrams("kaifa-noe")[0])
        self.wait_line(lines, "new:")
        self.wait_line(lines, "org.smartmeterd1.Electricity: ")
        self.wait_line(lines, "/org/smartmeterd1/meter/")

    def test_values_and_readings(self):
        self.start("auto")
        self.assertIn("no meter yet", self.run_example("meter_client.py", "values", code=1))
        # In the evening, when the power changes from telegram to telegram: by day it may stay 0.
        octets, said = telegrams("kaifa-noe", 3, "--start", "2026-11-20T20:00:05+01:00")
        size = len(octets) // 3
        self.pty.send(octets[:size])
        wait_for("the meter", lambda: METER in self.bus.meters())
        values = self.start_example("meter_client.py", "values", METER)
        readings = self.start_example("meter_client.py", "readings")
        self.wait_line(values, f"PowerImport is {said[0]['readings']['power_import']:.1f} W")
        wait_for("both to listen", lambda: self.listeners() >= 2)
        self.pty.send(octets[size:])
        self.wait_line(values, f"PowerImport is now {said[2]['readings']['power_import']:.1f}")
        for telegram in said[1:]:
            number, power = telegram["number"], telegram["readings"]["power_import"]
            self.wait_line(readings, f" {number}: ")
            self.assertTrue(any(f" {number}: " in line and f"power_import {power:.1f}" in line
                                for line in readings), readings)
        self.assertFalse(any("missed" in line for line in readings))

    def listeners(self):
        """Connections that have asked for signals of smartmeterd."""
        answer = self.bus.busctl("call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                 "org.freedesktop.DBus.Debug.Stats", "GetAllMatchRules")
        return sum(any("/org/smartmeterd1/meter" in rule for rule in rules)
                   for rules in answer["data"][0].values()) if answer else 0

    def test_history_of_a_day(self):
        self.live_a_day(1000.0)
        self.start()
        self.pty.send(p1_telegram("E1", 500, 0, 1002.5))
        wait_for("the meter", lambda: "E1" in self.bus.meters())
        *_, row = self.run_example("meter_client.py", "history", "E1").splitlines()
        self.assertRegex(row, r" \d\d:00:00 1 telegrams, 2\.500 kWh used$")

    def test_probe_finds_the_line(self):
        self.start("auto")
        lines = self.start_example("meter_client.py", "probe")
        octets, _ = telegrams("kaifa-noe", 30)
        size = len(octets) // 30
        for at in range(0, len(octets), size):  # a meter that pushes every second
            if any("line-settings: " in line for line in lines):
                break
            self.pty.send(octets[at:at + size])
            time.sleep(1)
        self.wait_line(lines, "protocol: mbus")
        self.wait_line(lines, " frames: ")  # of ProbeProgress
        self.wait_line(lines, "meter: /org/smartmeterd1/meter/")

    def test_capture_by_descriptor(self):
        self.start("auto")
        file = self.directory / "line.cap"
        self.start_example("meter_client.py", "capture", str(file))
        wait_for("the capture", file.exists)
        octets, _ = telegrams("kaifa-noe")
        self.pty.send(octets)

        def written():
            """The octets of the lines that are whole."""
            lines = file.read_text().splitlines(keepends=True)
            return bytes.fromhex("".join(line for line in lines
                                         if line.endswith("\n") and not line.startswith("#")))
        wait_for("the telegram in the file", lambda: written() == octets)
        self.assertTrue(file.read_text().startswith("#smartmeter-capture 1\n"))
        self.assertRegex(self.run_example("meter_client.py", "capture", str(file), "--seconds",
                                          "0.1"), rf"^\d+ bytes in {file}\n$")

    def test_errors_have_names(self):
        self.assertIn("ServiceUnknown", self.run_example("meter_client.py", "history", code=1))
        self.start_daemon(device="tcp://127.0.0.1:9,link=mbus", mqtt=False)
        wait_for("the daemon on the bus", self.bus.adapter)
        self.assertIn("org.freedesktop.DBus.Error.NotSupported: a TCP connection has no line",
                      self.run_example("meter_client.py", "probe", code=1))
        self.assertIn("no adapter nix", self.run_example(
            "meter_client.py", "probe", "--adapter", "nix", code=1))


if __name__ == "__main__":
    tap.main()
