# SPDX-License-Identifier: Apache-2.0
"""The files of daemon/doc/openhab.md: their form, and every topic and path in them on the real
service's messages.
"""

import pathlib
import re
import sys
import unittest

import jinja2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import House, block, json, net_power, page, slug, total, wait_for  # noqa: E402
import tap  # noqa: E402

PAGE = "openhab.md"
THING = re.compile(r'(?ms)^  Thing topic (\w+) "[^"]*" \[ (.*?) \] \{\n  Channels:\n(.*?)^  \}$')
CHANNEL = re.compile(r'    Type (\w+) : (\w+) "[^"]*" \[ (.*?) \]')
SETTING = re.compile(r'(\w+)=("[^"]*"|\w+)(?:, |$)')
ITEM = re.compile(r'([A-Z]\w+(?::\w+)?) (\w+) "[^"]*" '
                  r'\{ channel="mqtt:topic:home:(\w+):(\w+)" \}')
# The unit of an item's dimension.
DIMENSIONS = {"Number:Power": "W", "Number:Energy": "kWh", "Number:ElectricPotential": "V",
              "Number:ElectricCurrent": "A", "Number:Volume": "m³", "DateTime": None}


def settings(text):
    """key="value", … of a thing or a channel; nothing else may be there."""
    found = SETTING.findall(text)
    assert ", ".join(f"{key}={value}" for key, value in found) == text, text
    return {key: value.strip('"') for key, value in found}


def things():
    """(settings, channels by name: (type, settings)) by name of the thing."""
    text = block(PAGE, "// /etc/openhab/things/smartmeter.things")
    lines = text.splitlines()
    assert re.fullmatch(r'Bridge mqtt:broker:home "MQTT" \[ (.*) \] \{', lines[1]), lines[1]
    assert lines[-1] == "}"
    result = {}
    for name, its, body in THING.findall(text):
        channels = [CHANNEL.fullmatch(line) for line in body.splitlines()]
        result[name] = settings(its), {found[2]: (found[1], settings(found[3]))
                                       for found in channels}
    return result


def items():
    """(dimension, thing, channel) of each item."""
    lines = block(PAGE, "// /etc/openhab/items/smartmeter.items").splitlines()[1:]
    found = [ITEM.fullmatch(line) for line in lines]
    assert all(found), lines
    return [(item[1], item[3], item[4]) for item in found]


def path_value(pattern, message):
    """JSONPATH:$.a.b of a message; None where it finds nothing."""
    steps = re.fullmatch(r"JSONPATH:\$((?:\.\w+)+)", pattern)[1].split(".")[1:]
    for step in steps:
        message = message.get(step) if message else None
    return message


class Form(unittest.TestCase):
    def test_things_and_items_belong_together(self):
        described = things()
        self.assertEqual(set(described), {"meter", "gas"})
        channels = {(thing, name) for thing, (_, its) in described.items() for name in its}
        self.assertEqual({(thing, channel) for _, thing, channel in items()}, channels)
        for dimension, thing, channel in items():
            kind, its = described[thing][1][channel]
            self.assertEqual(its.get("unit"), DIMENSIONS[dimension], channel)
            self.assertEqual(kind, "datetime" if dimension == "DateTime" else "number")


class Messages(House):
    def test_every_topic_and_path_is_there(self):
        self.broker.start()
        self.start_house("kaifa-noe", "dsmr-5", "smarty-lu", "aidon", broker="values = true")
        subscriber = self.subscriber()
        described = things()
        gas = None
        for family in ("kaifa-noe", "dsmr-5", "smarty-lu", "aidon"):
            said = self.send(family)
            with self.subTest(family):
                self.check(subscriber, described["meter"], "METER", said.slug, {
                    "power": net_power(said.values),
                    "energy_import": total(said.values, "energy_import"),
                    "energy_export": total(said.values, "energy_export"),
                    **{f"{kind}_l{phase}": said.values[f"{kind}_l{phase}"]
                       for kind in ("voltage", "current") for phase in (1, 2, 3)}})
                value = subscriber.wait(f"smartmeter/{said.slug}/value/power_net")
                self.assertEqual(float(value), net_power(said.values))
            for topic, payload in list(subscriber.latest.items()):
                if topic.endswith("/info") and json.loads(payload)["medium"] == "gas":
                    gas = slug(json.loads(payload)["id"])
        self.check(subscriber, described["gas"], "GAS", gas, {})
        self.assertIn('stateTopic="smartmeter/METER/value/power_net"', page(PAGE))

    def check(self, subscriber, thing, placeholder, meter, wanted):
        """Each channel of a thing finds a value of its kind, and these values."""
        its, channels = thing
        self.assertEqual(its["availabilityTopic"], f"smartmeter/{placeholder}/availability")
        subscriber.wait(its["availabilityTopic"].replace(placeholder, meter),
                        lambda text: text == its["payloadAvailable"])
        self.assertEqual(its["payloadNotAvailable"], "offline")
        for name, (kind, channel) in channels.items():
            self.assertEqual(channel["stateTopic"], f"smartmeter/{placeholder}/state")
            message = subscriber.wait(channel["stateTopic"].replace(placeholder, meter))
            value = path_value(channel["transformationPattern"], json.loads(message))
            if kind == "number":
                self.assertIsInstance(value, (int, float), name)
                self.assertEqual(value, wanted.get(name, value), name)
            else:
                self.assertRegex(value, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Announced(House):
    def test_each_entity_by_itself(self):
        """What openHAB reads of the form for Home Assistant: one sensor a message, grouped by its
        device, and templates that need nothing of Home Assistant's own for what the meter says.
        """
        self.broker.start()
        self.start_house("dsmr-5", broker='discovery = "entities"')
        subscriber = self.subscriber()
        said = self.send("dsmr-5")
        state = subscriber.state(said.slug)
        stem = f"homeassistant/sensor/smartmeterd_{said.slug}_"
        devices = {}
        for name in state["readings"]:
            entity = json.loads(subscriber.wait(f"{stem}{name}/config"))
            self.assertEqual(entity["stat_t"], f"smartmeter/{said.slug}/state")
            template = jinja2.Environment().from_string(entity["val_tpl"])
            if isinstance(state["readings"][name], (int, float)):
                self.assertEqual(float(template.render(value_json=state)),
                                 state["readings"][name], name)
            devices.setdefault(tuple(entity["dev"]["ids"]), set()).add(entity["uniq_id"])
        self.assertEqual([len(entities) for entities in devices.values()],
                         [len(state["readings"])])
        gas = wait_for("the gas meter's volume", lambda: next(
            (json.loads(payload) for topic, payload in list(subscriber.latest.items())
             if re.fullmatch(r"homeassistant/sensor/smartmeterd_g\w+_volume/config", topic)), None))
        self.assertNotIn(tuple(gas["dev"]["ids"]), devices)
        for topic, payload in list(subscriber.latest.items()):
            if topic.startswith("homeassistant/"):
                self.assertRegex(topic, "^homeassistant/sensor/[a-zA-Z0-9_-]+/config$")
                self.assertNotIn("json_attr_t", json.loads(payload))


if __name__ == "__main__":
    tap.main()
