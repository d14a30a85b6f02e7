#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""smartmeterctl history and plot: what they ask for, and what they make of the answers.

A service of the test's own rows on the bus; and smartmeterd with rows in its state database.
"""

import csv
import datetime
import io
import json
import os
import pathlib
import pty
import sqlite3
import subprocess
import sys
import zoneinfo

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "integration")]

import tap  # noqa: E402
from harness import LIMIT_S, SMARTMETERCTL, World, stop, telegrams, wait_for  # noqa: E402

FAKE_HISTORY = os.environ["FAKE_HISTORY"]
VIENNA = zoneinfo.ZoneInfo("Europe/Vienna")
QUARTER_S = 900
ENVIRONMENT = {"TZ": "Europe/Vienna", "LC_ALL": "C.UTF-8"}


def at(year, month, day, hour=0, minute=0):
    return int(datetime.datetime(year, month, day, hour, minute, tzinfo=VIENNA).timestamp())


def quarters(begin, end):
    """Start and number of each quarter hour."""
    return [(start, i) for i, start in enumerate(range(begin, end, QUARTER_S))]


class Past(World):
    def setUp(self):
        super().setUp()
        self.bus.start()

    def ask(self, verb, *arguments, status=0, environment=None):
        done = subprocess.run(
            [SMARTMETERCTL, verb, "--bus", self.bus.address, *arguments],
            capture_output=True, timeout=LIMIT_S, check=False,
            env={**os.environ, **ENVIRONMENT, **(environment or {})})
        out, said = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, out + said)
        return said if status else out

    def rows_of(self, *arguments):
        """Those of --csv, and what --json says has to be the same."""
        text = self.ask("history", *arguments, "--csv")
        self.assertEqual(text.count("\n"), text.count("\r\n"))
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        objects = [json.loads(line) for line in
                   self.ask("history", *arguments, "--json").splitlines()]
        self.assertEqual(len(objects), len(rows))
        for row, one in zip(rows, objects):
            self.assertEqual([row[key] for key in ("meter", "start", "end")],
                             [one[key] for key in ("meter", "start", "end")])
            named = {key.split(" [")[0]: float(value) for key, value in row.items()
                     if value and key not in ("meter", "start", "end")}
            self.assertEqual(named, one["readings"])
        return rows


class OfAService(Past):
    def serve(self, lines, *refusal):
        file = self.directory / "rows"
        file.write_text("\n".join(lines) + "\n")
        service = subprocess.Popen([FAKE_HISTORY, self.bus.address, str(file), *refusal],
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(service.stdout.close)
        self.addCleanup(stop, service)
        self.assertEqual(service.stdout.readline(), "ready\n")
        return service

    def serve_night(self, *refusal):
        """A kilowatt through the night in which summer ends; gas once an hour."""
        begin, end = at(2024, 10, 26, 23), at(2024, 10, 28, 1)
        lines = ["meter 181220000009 electricity House"]
        lines += [f"{start} energy_import={100 + (i + 1) / 4} power_import_min=500 "
                  f"power_import_mean=1000 power_import_max=1500 voltage_l1_min=229.5 "
                  f"voltage_l1_mean=230 voltage_l1_max=231 telegrams=90"
                  for start, i in quarters(begin, end)]
        lines += ["meter G0012 gas"]
        lines += [f"{start} volume={50 + i // 4} telegrams=1" for start, i in quarters(begin, end)
                  if start % 3600 == 0]
        return self.serve(lines, *refusal)

    def test_a_day_of_25_hours(self):
        service = self.serve_night()
        rows = self.rows_of("181220000009", "--day", "2024-10-27")
        self.assertEqual(len(rows), 25)
        self.assertEqual(service.stdout.readline().split(),
                         ["181220000009", str(at(2024, 10, 27)), str(at(2024, 10, 28)), "3600",
                          "-", "Europe/Vienna"])
        starts = [datetime.datetime.fromisoformat(row["start"]).timestamp() for row in rows]
        self.assertEqual(starts, [at(2024, 10, 27) + 3600 * i for i in range(25)])
        self.assertEqual([row["start"][11:] for row in rows[2:4]],
                         ["02:00:00+02:00", "02:00:00+01:00"])
        self.assertEqual({row["energy_import_delta [kWh]"] for row in rows}, {"1"})
        table = self.ask("history", "181220000009", "--day", "2024-10-27").splitlines()
        self.assertEqual(table[0], "181220000009  House, electricity")
        self.assertEqual(table[1], "Sun 2024-10-27, every hour, Europe/Vienna")
        self.assertEqual(table[3].split(), "TIME IMPORT kWh MEAN W MIN W MAX W VOLTAGE V".split())
        self.assertEqual([line.split()[:2] for line in table[5:9]],
                         [["01:00", "1.000"], ["02:00", "CEST"], ["02:00", "CET"],
                          ["03:00", "1.000"]])
        self.assertEqual(table[-1].split(),
                         "total 25.000 1000 500 1500 229.5–231.0".split())

    def test_a_day_of_25_hours_is_one_row(self):
        service = self.serve_night()
        rows = self.rows_of("House", "--week", "2024-10-27")
        self.assertEqual(service.stdout.readline().split()[1:],
                         [str(at(2024, 10, 21)), str(at(2024, 10, 28)), "0", "day",
                          "Europe/Vienna"])
        self.assertEqual([(row["start"], row["energy_import_delta [kWh]"]) for row in rows],
                         [("2024-10-26T00:00:00+02:00", ""), ("2024-10-27T00:00:00+02:00", "25")])

    def test_another_zone(self):
        self.serve_night()
        rows = self.rows_of("House", "--day", "2024-10-27", "--zone", "America/New_York")
        # The data end at 20:00 there.
        self.assertEqual((len(rows), rows[0]["start"]), (20, "2024-10-27T00:00:00-04:00"))
        self.assertIn("America/New_York", self.ask("history", "--day", "2024-10-27", "--zone",
                                                   "America/New_York"))

    def test_all_meters(self):
        self.serve_night()
        rows = self.rows_of("--day", "2024-10-27", "--step", "6h")
        self.assertEqual([row["meter"] for row in rows], ["181220000009"] * 5 + ["G0012"] * 5)
        self.assertEqual([row["volume_delta [m³]"] for row in rows[5:]], ["6"] * 4 + ["1"])
        self.assertEqual({row["volume [m³]"] for row in rows[:5]}, {""})
        text = self.ask("history", "--day", "2024-10-27")
        self.assertIn("\n\nG0012  gas\n", text)
        self.assertIn("VOLUME m³", text)
        # A meter may stand behind an option that could have a date.
        self.assertEqual(self.ask("history", "--week", "G0012", status=1).count("G0012"), 0)
        self.assertIn('no meter is called "G0013"; known: 181220000009, G0012',
                      self.ask("history", "--day", "G0013", status=1))

    def test_gaps(self):
        self.serve(["meter 1 electricity", f"{at(2024, 10, 3)} energy_import=1 telegrams=1",
                    f"{at(2024, 10, 6)} energy_import=3.5 telegrams=1"])
        table = self.ask("history", "--month", "2024-10").splitlines()
        self.assertEqual([line.rstrip() for line in table[4:]], [
            "Tue 2024-10-01 – Wed 2024-10-02  no data",
            "Thu 2024-10-03           -",
            "Fri 2024-10-04 – Sat 2024-10-05  no data",
            "Sun 2024-10-06       2.500",
            "Mon 2024-10-07 – Thu 2024-10-31  no data",
            "total                2.500",
            "What was used while there are no data counts in the row after them."])

    def test_everything(self):
        """Two years of quarter hours: all of them, asked for in pieces."""
        begin, end = at(2023, 1, 1), at(2025, 1, 1)
        lines = ["meter 1 electricity"] + [
            f"{start} energy_import={i / 1000} power_import_mean={i % 7} telegrams=1"
            for start, i in quarters(begin, end)]
        # What comes late has its column, too.
        lines.append(f"{end - QUARTER_S} energy_import={(end - begin) / QUARTER_S / 1000} "
                     "energy_export=5 telegrams=1")
        service = self.serve(lines)
        text = self.ask("history", "--from", "2023", "--to", "2024", "--step", "15m", "--csv")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        self.assertEqual(len(rows), (end - begin) // QUARTER_S)
        self.assertEqual(rows[-1]["energy_export [kWh]"], "5")
        self.assertEqual([datetime.datetime.fromisoformat(row["start"]).timestamp()
                          for row in rows], list(range(begin, end, QUARTER_S)))
        self.assertEqual({row["energy_import_delta [kWh]"] for row in rows[1:-1]}, {"0.001"})
        stop(service)
        for question in service.stdout.read().splitlines():
            _, start, until, step, _, _ = question.split()
            self.assertLessEqual((int(until) - int(start)) / int(step), 1000)
            self.assertLessEqual(int(until) - int(start), 100 * 86400)

    def test_nothing_there(self):
        self.serve_night()
        for verb in ("history", "plot"):
            said = self.ask(verb, "--day", "2020-01-01", status=1)
            self.assertIn("nothing is kept of Wed 2020-01-01", said)
            self.assertIn("--year", said)
        self.assertEqual(self.ask("history", "--day", "2020-01-01", "--csv", status=1), said)

    def test_full_disk(self):
        self.serve_night()
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [SMARTMETERCTL, "history", "--bus", self.bus.address, "--day", "2024-10-27",
                 "--csv"], stdout=full, stderr=subprocess.PIPE, timeout=LIMIT_S, check=False,
                env={**os.environ, **ENVIRONMENT})
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left on device", done.stderr)

    def test_refused(self):
        own = "org.smartmeterd1.Error."
        for name in (own + "LimitReached", own + "InvalidOption",
                     "org.freedesktop.DBus.Error.NotSupported",
                     "org.freedesktop.DBus.Error.IOError"):
            service = self.serve(["meter 1 electricity"], name)
            for verb in ("history", "plot"):
                self.assertEqual(self.ask(verb, status=1),
                                 "smartmeterctl: refused to look back\n")
            stop(service)

    def test_others_ask_too(self):
        for verb in ("history", "plot"):
            service = self.serve_night("org.smartmeterd1.Error.LimitReached", "2")
            self.assertIn("electricity", self.ask(verb, "181220000009", "--day", "2024-10-27"))
            asked = service.stdout.readline()
            self.assertEqual([service.stdout.readline() for _ in range(2)], [asked, asked])
            stop(service)

    def test_nobody_answers(self):
        for verb in ("history", "plot"):
            self.assertIn("smartmeterd is not running", self.ask(verb, status=1))

    def test_wrong_usage(self):
        for arguments in (["--day", "2026-13-01"], ["--day", "--week"], ["--to", "today"],
                          ["--from", "x"], ["--from", "today", "--to", "yesterday"],
                          ["--step", "10m"], ["--zone", "Nowhere"], ["a", "b"],
                          ["--day", "2999-01-01"], ["--year", "1800"], ["--day", "0001-01-01"],
                          ["--from", ""], ["--from", "today", "--to", ""], ["--step", ""],
                          ["--zone", ""]):
            for verb in ("history", "plot"):
                said = self.ask(verb, *arguments, status=2)
                self.assertTrue("expected" in said or "--help" in said, said)
        self.ask("history", "--csv", "--json", status=2)
        for width in ("19", "x"):
            self.ask("plot", "--width", width, status=2)

    def test_plot(self):
        self.serve_night()
        lines = self.ask("plot", "House", "--day", "2024-10-27", "--width", "57").splitlines()
        self.assertEqual(lines[:4], [
            "181220000009  House, electricity", "Sun 2024-10-27, Europe/Vienna", "",
            "Power, kW: mean 1.00, 0.50 to 1.50   █ mean  ░ extremes"])
        # 25 hours, each two columns: a kilowatt all day, and half as much again at times.
        self.assertIn("1.0 ┤" + "█" * 50, lines)
        self.assertIn("1.5 ┤" + "░" * 50, lines)
        self.assertIn("Energy per hour, kWh: 25.000 imported", lines)
        self.assertIn("1.0 ┤" + "█ " * 24 + "█", lines)
        self.assertNotIn("┄", "".join(lines))
        self.assertLessEqual(max(map(len, lines)), 57)

    def test_plot_in_ascii(self):
        self.serve_night()
        for options, environment in ((["--ascii"], {}), ([], {"LC_ALL": "C"})):
            text = self.ask("plot", "--day", "2024-10-27", *options, environment=environment)
            self.assertTrue(text.isascii(), text)
            self.assertIn("Volume per hour, m3: 25.000", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def plot_on_terminal(self, columns, rows, **environment):
        terminal, other_end = pty.openpty()
        self.addCleanup(os.close, terminal)
        subprocess.run(["stty", "cols", str(columns), "rows", str(rows)], stdin=other_end,
                       check=True)
        plot = subprocess.Popen([SMARTMETERCTL, "plot", "House", "--day", "2024-10-27", "--bus",
                                 self.bus.address], stdout=other_end,
                                env={**os.environ, **ENVIRONMENT, "TERM": "xterm", **environment})
        os.close(other_end)
        text = b""
        while True:
            try:
                text += os.read(terminal, 4096)
            except OSError:  # EIO: nobody holds the other end any more
                break
        self.assertEqual(plot.wait(LIMIT_S), 0)
        return text.decode()

    def test_plot_on_a_terminal(self):
        self.serve_night()
        coloured = self.plot_on_terminal(120, 40)
        self.assertIn("\033[", coloured)
        plain = self.plot_on_terminal(120, 40, NO_COLOR="1")
        self.assertNotIn("\033", plain)
        # 25 hours of four columns.
        self.assertIn("1.0 ┤" + "█" * 100, plain)
        self.assertEqual(len(plain.splitlines()), len(coloured.splitlines()))
        self.assertLess(len(plain.splitlines()), 40)
        self.assertIn("1.0 ┤" + "█" * 26 + "\r\n", self.plot_on_terminal(40, 24, NO_COLOR="1"))


class OfTheDaemon(Past):
    """smartmeterd itself, with yesterday in its state database."""

    METER = "181220000009"

    def start(self):
        """Until the simulated meter is on the bus."""
        self.write_key()
        (self.directory / "log").unlink(missing_ok=True)  # an earlier one had opened the port, too
        self.start_daemon(device=f"{self.pty.path},link=mbus", mqtt=False)
        self.wait_opened()
        self.counter = getattr(self, "counter", 0) + 1
        self.pty.send(telegrams("kaifa-noe", 1, "--counter", str(self.counter))[0])
        wait_for("the meter on the bus", lambda: self.METER in self.bus.meters())

    def remember(self, rows):
        """Puts quarter hours, start to values by name, where the daemon keeps them."""
        database = sqlite3.connect(self.directory / "state" / "state.db")
        with database:
            key, names = database.execute("SELECT id, names FROM history_meter").fetchone()
            for start, values in rows.items():
                payload = [values.get(name) for name in json.loads(names)]
                database.execute("INSERT INTO history VALUES (?, ?, ?, ?)",
                                 (start, key, 90, json.dumps(payload, separators=(",", ":"))))
        database.close()

    def test_yesterday(self):
        self.start()
        stop(self.daemon)
        today = datetime.datetime.now(VIENNA).replace(hour=0, minute=0, second=0, microsecond=0)
        yesterday = today - datetime.timedelta(days=1)
        begin, end = int(yesterday.timestamp()), int(today.timestamp())
        # From 500 W at night to 2 kW; a quarter hour before midnight there is a value, too.
        self.remember({start: {"energy_import": round(100 + i / 8, 3),
                               "power_import": [400, 2000, 90 * 500, 90],
                               "voltage_l1": [229, 231.5, 90 * 230, 90]}
                       for start, i in quarters(begin - QUARTER_S, end)})
        self.start()
        rows = self.rows_of("--day", "yesterday")
        hours = (end - begin) // 3600
        self.assertEqual(len(rows), hours)
        self.assertEqual(rows[0]["start"], yesterday.isoformat())
        self.assertEqual({row["energy_import_delta [kWh]"] for row in rows}, {"0.5"})
        for name, value in (("power_import_min [W]", "400"), ("power_import_mean [W]", "500"),
                            ("power_import_max [W]", "2000"), ("voltage_l1_max [V]", "231.5"),
                            ("telegrams", "360")):
            self.assertEqual({row[name] for row in rows}, {value}, name)
        for options, count in ((["--day", "yesterday", "--step", "15m"], 4 * hours),
                               (["--from", "yesterday", "--to", "yesterday", "--step", "day"], 1)):
            rows = self.rows_of(self.METER, *options)
            self.assertEqual(len(rows), count)
            self.assertAlmostEqual(sum(float(row["energy_import_delta [kWh]"]) for row in rows),
                                   hours / 2)
        table = self.ask("history", "--day", "yesterday").splitlines()
        self.assertEqual(table[-1].split()[:2], ["total", f"{hours / 2:.3f}"])
        drawn = self.ask("plot", "--day", "yesterday", "--width", "60")
        self.assertIn(f"Energy per hour, kWh: {hours / 2:.3f} imported", drawn)
        with self.subTest("today: what the telegram of a moment ago said"):
            self.assertGreaterEqual(sum(int(row["telegrams"]) for row in self.rows_of()), 1)

    def test_maximum_that_is_spelled_like_another_reading(self):
        """Belgian meters send power_demand_import, and power_demand_import_max of the month."""
        self.start_daemon(device=f"{self.pty.path},link=p1", mqtt=False)
        self.wait_opened()
        octets, [said] = telegrams("emucs-be", 1)
        now, peak = (f"{said['readings'][name]:g}"
                     for name in ("power_demand_import", "power_demand_import_max"))
        self.assertNotEqual(now, peak)
        self.pty.send(octets)
        wait_for("the meter on the bus", lambda: said["meter"] in self.bus.meters())
        [row] = self.rows_of(said["meter"], "--from", "yesterday")
        self.assertEqual(
            {name: value for name, value in row.items() if name.startswith("power_demand")},
            {f"{name}_{what} [W]": value
             for name, value in (("power_demand_import", now), ("power_demand_import_max", peak))
             for what in ("min", "mean", "max")})

    def test_history_is_switched_off(self):
        self.config.write_text(self.config.read_text() + "[history]\ndays = 0\n")
        self.start()
        for verb in ("history", "plot"):
            said = self.ask(verb, status=1)
            self.assertIn("history", said)


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    tap.main()
