# SPDX-License-Identifier: Apache-2.0
"""Quarter hours of meters: on the bus while they run, in the file when the service stops, gone with
it when it is killed; and another program's rows in that file, by step and by calendar.

Each case runs on both back ends of the loop (SMARTMETERD_IO names one).
"""

import datetime
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
import unittest
import zoneinfo

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import LIMIT_S, World, stop, wait_for
from simulated import dutch_p1

IO = os.environ.get("SMARTMETERD_IO", "auto")
MAIN, GAS = "E0044007123456789", "G0025003407123456"
QUARTER_S = 900


class History(World):
    def setUp(self):
        super().setUp()
        self.history = ""
        self.file = self.directory / "state" / "state.db"
        self.bus.start()

    def start(self):
        self.config.write_text(f'[gateway]\ninstance = "test"\n[meter.house]\nid = "{MAIN}"\n'
                               f'zone = "Australia/Lord_Howe"\n[history]\n{self.history}\n')
        (self.directory / "log").unlink(missing_ok=True)
        self.start_daemon("--io", IO, mqtt=False,
                          device=f"{self.pty.path},line=115200-8N1,link=p1")
        self.wait_opened()

    def send(self, count, **values):
        """Telegrams, read when this returns."""
        before = self.telegrams()
        for _ in range(count):
            self.pty.send(dutch_p1(**values))
        wait_for(f"{count} telegrams", lambda: self.telegrams() == before + count)

    def telegrams(self):
        return self.bus.adapter_property("TelegramsReceived") or 0

    def call(self, meter, start_s, end_s, step=0, **options):
        path = wait_for(f"meter {meter}", lambda: self.bus.meters().get(meter))
        return subprocess.run(
            ["busctl", f"--address={self.bus.address}", "--json=short", "call", "org.smartmeterd1",
             path, "org.smartmeterd1.Meter", "History", "ttua{sv}", str(int(start_s * 10**6)),
             str(int(end_s * 10**6)), str(step), str(len(options)),
             *(word for key, value in options.items() for word in (key, "s", value))],
            capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def rows(self, meter, start_s=None, end_s=None, step=0, **options):
        """[(start in s, values)]; of the last and the next day, unless told."""
        now = time.time()
        done = self.call(meter, start_s or now - 86400, end_s or now + 86400, step, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [(start // 10**6, values) for start, values in json.loads(done.stdout)["data"][0]]

    def refusal(self, *arguments, **options):
        done = self.call(MAIN, *arguments, **options)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stderr

    def counters(self):
        return self.bus.property("/org/smartmeterd1", "Manager", "Counters")

    def in_file(self, question):
        database = sqlite3.connect(self.file)
        try:
            answer = database.execute(question).fetchall()
            database.commit()
            return answer
        finally:
            database.close()

    def same_quarter_hour(self, seconds=60):
        """What follows belongs to one quarter hour: waits where one is about to end."""
        left = QUARTER_S - time.time() % QUARTER_S
        if left < seconds:
            time.sleep(left + 1)

    def test_what_runs_is_shown_kept_over_a_stop_and_lost_with_a_kill(self):
        self.same_quarter_hour()
        self.start()
        self.send(1)
        self.send(1, electricity_kwh="001234.600", gas_m3="00123.500")
        start_s = int(time.time()) // QUARTER_S * QUARTER_S
        [(start, row)] = self.rows(MAIN)
        self.assertEqual(start, start_s)
        self.assertEqual(row, {
            "energy_import_t1": 1234.6, "energy_import_t2": 2, "energy_import": 1236.6,
            "power_import_min": 545, "power_import_mean": 545, "power_import_max": 545,
            "power_export_min": 0, "power_export_mean": 0, "power_export_max": 0,
            "power_net_min": 545, "power_net_mean": 545, "power_net_max": 545,
            "voltage_l1_min": 230.1, "voltage_l1_mean": 230.1, "voltage_l1_max": 230.1,
            "telegrams": 2})
        # A meter behind it has rows of its own.
        self.assertEqual(self.rows(GAS), [(start_s, {"volume": 123.5, "telegrams": 2})])
        self.assertEqual(self.in_file("SELECT count(*) FROM history"), [(0,)])
        stop(self.daemon)
        self.assertEqual(self.in_file("SELECT count(*) FROM history"), [(3,)])
        text = datetime.datetime.fromtimestamp(start_s, datetime.timezone.utc)
        self.assertEqual(
            self.in_file(f"SELECT * FROM history_values WHERE meter = '{GAS}'"),
            [(GAS, f"{text:%Y-%m-%d %H:%M:%S}", 2, "volume", 123.5, None, None, None)])
        # The next run goes on with the quarter hour; killed, it loses what it brought alone.
        self.start()
        self.send(1, electricity_kwh="001234.700")
        self.assertEqual([(values["telegrams"], values["energy_import_t1"])
                          for _, values in self.rows(MAIN)], [(3, 1234.7)])
        stop(self.daemon, signal.SIGKILL)
        self.start()
        self.send(1, electricity_kwh="001234.800")
        self.assertEqual([(values["telegrams"], values["energy_import_t1"])
                          for _, values in self.rows(MAIN)], [(3, 1234.8)])
        self.assertEqual(self.in_file("PRAGMA integrity_check"), [("ok",)])

    def test_steps_and_days_of_what_is_in_the_file(self):
        self.same_quarter_hour()
        self.start()
        self.send(1)
        stop(self.daemon)
        self.assertEqual(self.in_file("SELECT count(*) FROM history"), [(3,)])
        # Two days of 2026 before Lord Howe's clocks go forward by half an hour, and that one.
        zone = zoneinfo.ZoneInfo("Australia/Lord_Howe")
        first = int(datetime.datetime(2026, 10, 2, tzinfo=zone).timestamp())
        end = int(datetime.datetime(2026, 10, 5, tzinfo=zone).timestamp())
        self.in_file("DELETE FROM history")
        self.in_file(
            "WITH RECURSIVE quarter(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM quarter "
            f"WHERE {first} + (at + 1) * 900 < {end}) INSERT INTO history "
            f"SELECT {first} + at * 900, id, 10, '[' || (100 + at) || ',[' || at || ',' || at || "
            f"',' || (at * 10) || ',10]]' FROM quarter, history_meter WHERE meter = '{MAIN}'")
        self.in_file("UPDATE history_meter SET names = '[\"energy_import\",\"power_import\"]' "
                     f"WHERE meter = '{MAIN}'")
        quarters = (24 + 24 + 23.5) * 4
        self.start()
        self.send(1)  # the meter is there
        # By the zone that the configuration gives to the meter.
        days = self.rows(MAIN, first + 3600, end, period="day")
        self.assertEqual(days[:3], [
            (first, {"energy_import": 195, "energy_import_delta": 95, "power_import_min": 0,
                     "power_import_mean": 47.5, "power_import_max": 95, "telegrams": 960}),
            (first + 86400, {"energy_import": 291, "energy_import_delta": 96, "telegrams": 960,
                             "power_import_min": 96, "power_import_mean": 143.5,
                             "power_import_max": 191}),
            (first + 2 * 86400, {"energy_import": 385, "energy_import_delta": 94, "telegrams": 940,
                                 "power_import_min": 192, "power_import_mean": 238.5,
                                 "power_import_max": 285})])
        self.assertEqual(days[2][0] + 23.5 * 3600, end)
        self.assertEqual(len(days), 3)
        [(week, values)] = self.rows(MAIN, first, end, period="week")
        self.assertEqual(week, datetime.datetime(2026, 9, 28, tzinfo=zone).timestamp())
        self.assertEqual(values["telegrams"], quarters * 10)
        [(month, values)] = self.rows(MAIN, first, end, period="month", zone="Asia/Kathmandu")
        self.assertEqual(month, datetime.datetime(
            2026, 10, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Kathmandu")).timestamp())
        hours = self.rows(MAIN, first, first + 7200, 3600)
        self.assertEqual([(start, values["energy_import"], values.get("energy_import_delta"))
                          for start, values in hours], [(first, 103, 3), (first + 3600, 107, 4)])
        self.assertEqual(len(self.rows(MAIN, first, end)), quarters)

    def test_refusals_say_what_was_expected(self):
        self.same_quarter_hour()
        self.start()
        self.send(1)
        now = time.time()
        self.assertIn("before", self.refusal(now, now))
        self.assertIn("900", self.refusal(now, now + 1, 100))
        self.assertIn("period", self.refusal(now, now + 1, 900, period="day"))
        self.assertIn("week", self.refusal(now, now + 1, period="fortnight"))
        self.assertIn("Europe/Vienna", self.refusal(now, now + 1, period="day", zone="Mars/One"))
        self.assertEqual(self.rows(MAIN, 1, 2), [])
        self.assertEqual(self.counters()["history-rows"], 0)
        stop(self.daemon)
        self.in_file(
            "WITH RECURSIVE quarter(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM quarter LIMIT "
            f"10001) INSERT INTO history SELECT at * 900, id, 1, '[1]' FROM quarter, history_meter "
            f"WHERE meter = '{MAIN}'")
        self.start()
        self.send(1)
        self.assertIn("10000 rows, or 500000 values: ask for", self.refusal(0, 10001 * 900))
        self.assertEqual(len(self.rows(MAIN, 0.000001, 10001 * 900 - 900)), 10000)
        self.assertEqual(len(self.rows(MAIN, 0.000001, 10001 * 900, 86400)), 105)

    def test_switched_off_nothing_is_kept_nor_what_there_was(self):
        self.same_quarter_hour()
        self.start()
        self.send(1)
        stop(self.daemon)
        self.start()
        self.send(1)
        self.config.write_text(self.config.read_text() + "days = 0\n")
        self.daemon.send_signal(signal.SIGHUP)
        wait_for("the rows to go", lambda: self.in_file("SELECT count(*) FROM history") == [(0,)])
        self.assertIn("days = 0", self.refusal(0.000001, time.time()))
        self.send(1)
        stop(self.daemon)
        self.assertEqual(self.in_file("SELECT count(*) FROM history"), [(0,)])

    def test_a_directory_that_is_unusable_at_first_stops_nothing(self):
        (self.directory / "state").rmdir()
        (self.directory / "state").write_text("a file")
        self.start()
        self.send(2)
        self.assertIn("state.db: unable to open database file: Not a directory",
                      self.refusal(0.000001, time.time()))
        self.assertEqual(self.log_text().count("Not a directory; history, replay baselines"), 1)
        (self.directory / "state").unlink()
        wait_for("the database", lambda: "state.db: written again" in self.log_text())
        stop(self.daemon)
        self.assertEqual(self.in_file("SELECT sum(telegrams) FROM history"), [(2 * 3,)])


if __name__ == "__main__":
    tap.main()
