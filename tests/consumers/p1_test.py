# SPDX-License-Identifier: Apache-2.0
"""What the service sends a P1 consumer, for meters that speak nothing like P1, too: read by a
parser in another language, dsmr-parser of npm, which checks the CRC itself, and as evcc reads it.
"""

import contextlib
import pathlib
import re
import socket
import subprocess
import sys
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import (LIMIT_S, TESTS, House, block, json, net_power, page,  # noqa: E402
                      total)
import npm  # noqa: E402
import tap  # noqa: E402
from harness import free_port, telegrams, wait_for  # noqa: E402
from simulated import crc16_arc  # noqa: E402

DSMR_PARSER = "2.1.1"
FAMILIES = ("kaifa-noe", "e450-pairs", "sml-emh", "dsmr-5", "smarty-lu", "mbus-electricity")
PARSE = """
const chunks = [];
process.stdin.on("data", chunk => chunks.push(chunk)).on("end", () => {
  const telegram = require("dsmr-parser").parse(Buffer.concat(chunks).toString("latin1"));
  console.log(JSON.stringify(telegram.objects));
});
"""
# The parser's names of what the service calls so, and how many of the one make one of the other.
QUANTITIES = [("actual electricity power delivered", "power_import", 1000),
              ("actual electricity power received", "power_export", 1000)]
QUANTITIES += [(f"instantaneous {kind} L{phase}", f"{kind}_l{phase}", 1)
               for kind in ("voltage", "current") for phase in (1, 2, 3)]


class Evcc:
    """What evcc makes of a telegram (its meter/dsmr.go of August 2026): the first brackets behind
    each code, what is before the "*", once the CRC is right.
    """

    OBJECT = re.compile(r"(\d+-\d+:\d+\.\d+\.\d+)\(([^)]*)\)")

    def __init__(self, telegram):
        frame, _, crc = telegram.partition(b"!")
        assert f"{crc16_arc(frame + b'!'):04X}" == crc.decode().strip(), telegram
        self.values = {code: text.partition("*")[0]
                       for code, text in self.OBJECT.findall(frame.decode("latin1"))}

    def number(self, code):
        return float(self.values[code])

    def power(self):
        exported = self.number("1-0:2.7.0") if "1-0:2.7.0" in self.values else 0
        return (self.number("1-0:1.7.0") - exported) * 1000

    def energy(self, direction):
        if f"1-0:{direction}.8.0" in self.values:
            return self.number(f"1-0:{direction}.8.0")
        tariffs = [self.number(code) for code in self.values
                   if code in (f"1-0:{direction}.8.1", f"1-0:{direction}.8.2")]
        return sum(tariffs) if tariffs else None


class Exported(House):
    def start(self, *families):
        """The service with one P1 port a meter; their port numbers."""
        self.broker.start()
        ports = {family: free_port() for family in families}
        self.start_house(*families, settings="".join(
            f'[export.{family}]\nlisten = "127.0.0.1:{port}"\n'
            f"meter = '{telegrams(family)[1][0]['meter']}'\n"
            for family, port in ports.items()))
        return ports

    def telegram(self, family, port):
        """The first whole telegram that a client gets while the meter sends, and what the meter
        says in each of its own.
        """
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
            client.settimeout(0.5)
            received, counter, said = b"", 1000, None

            def whole():
                nonlocal received, counter, said
                counter += 1
                octets, (said,) = telegrams(family, 1, "--counter", str(counter))
                self.lines[family].send(octets)
                with contextlib.suppress(TimeoutError):
                    while b"!" not in received or not received.endswith(b"\r\n"):
                        received += client.recv(4096)
                    return received
                return None
            return wait_for(f"a telegram of {family}", whole), said

    def parsed(self, telegram, modules):
        """What dsmr-parser reads in it."""
        done = subprocess.run(["node", "-e", PARSE], input=telegram, capture_output=True,
                              timeout=LIMIT_S, cwd=modules, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode() + telegram.decode("latin1"))
        return json.loads(done.stdout)

    def test_a_parser_in_another_language(self):
        modules = npm.installed(**{"dsmr-parser": DSMR_PARSER})
        ports = self.start(*FAMILIES)
        subscriber = self.subscriber()
        for family in FAMILIES:
            telegram, said = self.telegram(family, ports[family])
            with self.subTest(family):
                values, objects = said["readings"], self.parsed(telegram, modules)
                self.assertEqual(objects["equipment identifier"], said["meter"])
                self.assertEqual(objects["dsmr version"], "5.0")
                for theirs, ours, factor in QUANTITIES:
                    if ours in values:
                        self.assertAlmostEqual(objects[theirs] * factor, values[ours], 6, theirs)
                for theirs, ours in (("delivered", "energy_import"),
                                     ("received", "energy_export")):
                    wanted = total(values, ours)
                    if wanted is not None:
                        tariffs = [objects[f"electricity {theirs} tariff {n}"] for n in (1, 2)]
                        self.assertAlmostEqual(sum(tariffs), wanted, 6, theirs)
                if family == "dsmr-5":
                    self.check_gas(subscriber, objects)

    def check_gas(self, subscriber, objects):
        """The gas meter behind the meter is in the telegram as in its own state."""
        states = [json.loads(payload) for topic, payload in list(subscriber.latest.items())
                  if topic.endswith("/state")]
        (gas,) = [state for state in states
                  if state["meter"] == objects["gas equipment identifier"]]
        self.assertEqual(objects["gas delivered"], gas["readings"]["volume"])

    def test_evcc_reads_power_and_energy(self):
        ports = self.start(*FAMILIES)
        for family in FAMILIES:
            telegram, said = self.telegram(family, ports[family])
            with self.subTest(family):
                evcc = Evcc(telegram)
                self.assertAlmostEqual(evcc.power(), net_power(said["readings"]), 6)
                for direction, name in ((1, "energy_import"), (2, "energy_export")):
                    self.assertEqual(evcc.energy(direction), total(said["readings"], name))


class Page(unittest.TestCase):
    def test_evcc_s_ports_are_the_service_s(self):
        unit = (TESTS.parent / "systemd/smartmeterd-export.socket.in").read_text()
        host, port = re.search(r"(?m)^ListenStream=([\d.]+):(\d+)$", unit).groups()
        self.assertIn("smartmeterd-export.socket", page("evcc.md"))
        (meter,) = yaml.safe_load(block("evcc.md", "# evcc.yaml, P1"))["meters"]
        self.assertEqual((meter["template"], meter["host"], meter["port"]),
                         ("dsmr", host, int(port)))
        (slow,) = yaml.safe_load(block("evcc.md", "# evcc.yaml, P1 of a slow meter"))["meters"]
        self.assertEqual((slow["type"], slow["uri"]), ("dsmr", f"{host}:{port}"))


if __name__ == "__main__":
    tap.main()
