# SPDX-License-Identifier: Apache-2.0
"""The lines of daemon/doc/evcc.md, evaluated on the service's states as evcc evaluates them."""

import pathlib
import subprocess
import sys
import time
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import (LIMIT_S, House, block, json, net_power, total,  # noqa: E402
                      wait_for)
import tap  # noqa: E402

PAGE = "evcc.md"
FAMILIES = ("kaifa-noe", "e450-pairs", "dsmr-5", "emucs-be", "smarty-lu", "mbus-electricity",
            "aidon", "sml-emh", "mode-d", "am550-austria", "sweden-h1")
# Keys of evcc's MQTT plugin that these lines use.
PLUGIN = {"source", "topic", "jq", "timeout"}


def configuration(begins):
    return yaml.safe_load(block(PAGE, begins))


def meter():
    return configuration("# evcc.yaml")["meters"][0]


def phases():
    return configuration("# evcc.yaml, phases")


def entries():
    """Every entry of the MQTT plugin on the page, with what it is for."""
    for name in ("power", "energy", "returnenergy"):
        yield name, meter()[name]
    for name, three in phases().items():
        for entry in three:
            yield name, entry


def evaluate(entry, state):
    """What evcc makes of a message: jq, then a number."""
    done = subprocess.run(["jq", "-c", entry["jq"]], input=json.dumps(state), text=True,
                          capture_output=True, timeout=LIMIT_S, check=True)
    return float(done.stdout)


class Form(unittest.TestCase):
    def test_the_grid_meter_is_the_one_that_is_described(self):
        for begins in ("# evcc.yaml", "# evcc.yaml, P1"):
            whole = configuration(begins)
            self.assertEqual(whole["site"]["meters"]["grid"], whole["meters"][0]["name"])
        self.assertEqual(meter()["type"], "custom")
        self.assertEqual({name: len(three) for name, three in phases().items()},
                         {"currents": 3, "voltages": 3})
        for name, entry in entries():
            self.assertEqual(set(entry), PLUGIN, name)
            self.assertEqual((entry["source"], entry["topic"]), ("mqtt", "smartmeter/METER/state"))

    def test_each_value_has_a_limit_of_age(self):
        """Without one evcc never notices a meter that no longer sends."""
        for name, entry in entries():
            self.assertRegex(entry["timeout"], r"^\d+[sm]$", name)


class States(House):
    def test_each_family_of_meters(self):
        self.broker.start()
        self.start_house(*FAMILIES)
        subscriber = self.subscriber()
        with_phases = 0
        for family in FAMILIES:
            said = self.send(family)
            state = subscriber.state(said.slug)
            with self.subTest(family):
                values = said.values
                self.assertEqual(evaluate(meter()["power"], state), net_power(values))
                self.assertEqual(evaluate(meter()["energy"], state),
                                 total(values, "energy_import"))
                exported = total(values, "energy_export")
                if exported is not None:
                    self.assertEqual(evaluate(meter()["returnenergy"], state), exported)
                if "current_l1" not in values:
                    continue
                with_phases += 1
                for name, quantity in (("currents", "current"), ("voltages", "voltage")):
                    self.assertEqual([evaluate(entry, state) for entry in phases()[name]],
                                     [values.get(f"{quantity}_l{phase}", 0)
                                      for phase in (1, 2, 3)])
        self.assertGreater(with_phases, 3)

    def test_a_state_that_is_retained_does_not_outlive_its_meter(self):
        """evcc takes what is retained when it starts for new."""
        self.broker.start()
        self.start_house("dsmr-5")
        subscriber = self.subscriber()
        meter = self.send("dsmr-5")
        topic = f"smartmeter/{meter.slug}/state"
        subscriber.wait(topic)
        # The service learns how often the meter sends.
        for _ in range(4):
            time.sleep(0.5)
            self.send("dsmr-5")

        def retained():
            return subprocess.run(
                ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", topic,
                 "-W", "1"], capture_output=True, timeout=LIMIT_S, check=False).stdout
        self.assertIn(b"power_net", retained())
        wait_for("the broker to forget the state", lambda: not retained(), 120)

    def test_export_is_negative(self):
        state = {"readings": {"power_net": -1200, "current_l1": 2.5, "power_export_l1": 575,
                              "current_l2": 1.1, "power_export_l2": 0}}
        self.assertEqual(evaluate(meter()["power"], state), -1200)
        self.assertEqual([evaluate(entry, state) for entry in phases()["currents"]],
                         [-2.5, 1.1, 0])


if __name__ == "__main__":
    tap.main()
