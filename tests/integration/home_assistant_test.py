# SPDX-License-Identifier: Apache-2.0
"""Meters in Home Assistant: every discovery payload against its rules, and what its users see.

The consumer is home_assistant.py; daemon, broker and meter are real, or simulated by metersim.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from harness import (LIMIT_S, METERSIM, SMARTMETERD, TEST_AUTHENTICATION_KEY, TEST_KEY, World,
                     stop, telegrams, wait_for, with_password_file)
from home_assistant import HomeAssistant, check
from simulated import dutch_p1

PAYLOADS = os.environ["HOME_ASSISTANT_TEST"]
METER = "181220000009"
DEVICE = f"smartmeterd_{METER}"
SERVICE = "smartmeterd_gateway_test"
BROKER = '[gateway]\ninstance = "test"\n[broker.main]\nurl = "{url}"\n{settings}\n'
# Of metersim, what a port of one kind can hear without being asked.
LINKS = {"iec-mode-c": "iec62056-21", "mode-d": "iec62056-21", "amis-td351x": "amis",
         "mbus-heat": "mbus-master", "mbus-water": "mbus-master", "mbus-fixed": "mbus-master",
         "mbus-electricity": "mbus-master"}
# Its registers have no scale, so that none of them is a reading.
WITHOUT_READINGS = {"siemens-wels"}
NOT_ON_A_LINE = {"glow-zcl", "glow-ihd", "gplug", "whatwatt"}


def families():
    listed = subprocess.run([METERSIM, "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.partition("\n\n")[0].splitlines()]


class Home(World):
    """Broker, daemon and Home Assistant."""

    def setUp(self):
        super().setUp()
        self.broker.start()
        self.homes = []
        self.addCleanup(lambda: [home.stop() for home in self.homes])

    def configure(self, settings="", more=""):
        self.config.write_text(BROKER.format(url=self.broker.url, settings=settings) + more)

    def begin(self, settings="", more="", link="mbus", keys=True):
        self.configure(settings, more)
        if keys:
            self.write_key()
        self.run_daemon(link)

    def run_daemon(self, link="mbus"):
        self.start_daemon("--io", os.environ.get("SMARTMETERD_IO", "auto"), mqtt=False, bus=False,
                          device=f"{self.pty.path},link={link}")
        self.wait_opened()

    def end_daemon(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.assertEqual(self.daemon.wait(LIMIT_S), 0)

    def home(self, **options):
        home = HomeAssistant("127.0.0.1", self.broker.port, **options)
        self.homes.append(home)
        return home.start()

    counter = 1

    def push(self, family="kaifa-noe", count=1, *options):
        """Telegrams on the line; the values of the last one."""
        octets, values = telegrams(family, count, "--counter", str(self.counter), *options)
        self.counter += count
        self.pty.send(octets)
        return values[-1]["readings"]

    def wait_state(self, home, unique_id, state):
        def seen():
            entity = home.by_unique_id(unique_id)
            return entity.state if entity else None
        try:
            wait_for("the state", lambda: seen() == state)
        except AssertionError:
            self.fail(f"{unique_id} is {seen()}, not {state}; {home.problems}")

    def wait_values(self, home, device, values):
        """The simulated meter's values, as numbers."""
        def differing():
            entities = home.of_device(device)
            return {name: (value, entities[name].state if name in entities else None)
                    for name, value in values.items()
                    if name not in entities or entities[name].state in ("unavailable", "unknown")
                    or float(entities[name].state) != value}
        try:
            wait_for("the values", lambda: not differing())
        except AssertionError:
            self.fail(f"{differing()}; {home.problems}")

    def assert_lawful(self, retained, prefix="homeassistant"):
        configs = {topic: payload for topic, payload in retained.items()
                   if re.fullmatch(f"{prefix}/.+/config", topic) and payload}
        self.assertTrue(configs)
        for topic, payload in configs.items():
            self.assertEqual(check(topic, payload, prefix), [], payload)
        return configs

    def retained(self):
        """What a broker tells who comes late."""
        done = subprocess.run(
            ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", "#", "-W", "1",
             "-F", "%r %t %p"], stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT_S)
        return {topic: payload for kept, topic, payload in
                (line.split(" ", 2) for line in done.stdout.splitlines()) if kept == "1"}

    def publish(self, topic, payload, retain=True):
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t",
                        topic, "-m", payload] + (["-r"] if retain else []), check=True,
                       timeout=LIMIT_S)


class Schema(Home):
    def test_whole_table_in_both_forms(self):
        printed = subprocess.run([PAYLOADS, "--print"], capture_output=True, text=True, check=True,
                                 timeout=LIMIT_S).stdout.splitlines()
        self.assertGreater(len(printed), 500)
        for line in printed:
            topic, _, payload = line.partition(" ")
            self.assertEqual(check(topic, payload), [], payload)

    def test_check_finds_what_home_assistant_refuses(self):
        good = ('{"dev":{"ids":["a"],"name":"A"},"o":{"name":"smartmeterd"},"stat_t":"s","cmps":'
                '{"e":{"p":"sensor","uniq_id":"u","name":"E","default_entity_id":"sensor.e",'
                '"val_tpl":"{{ value_json.e }}","dev_cla":"energy","stat_cla":"total",'
                '"unit_of_meas":"kWh"}}}')
        topic = "homeassistant/device/a/config"
        self.assertEqual(check(topic, good), [])
        for before, after in (('"kWh"', '"kvarh"'), ('"total"', '"measurement"'),
                              ('"energy"', '"reactive_energy"'), ('"ids":["a"],', ""),
                              ('"uniq_id":"u",', ""), ("default_entity_id", "object_id"),
                              ("sensor.e", "Energy"), ("{{ value_json.e }}", "{{ value_json.e"),
                              ('"p":"sensor",', ""), ('"name":"smartmeterd"', ""),
                              ('"stat_t":"s",', ""), ('"unit_of_meas":"kWh"', '"exp_aft":1.5'),
                              ('"name":"A"', '"name":"A","via_device":"a"')):
            self.assertNotEqual(check(topic, good.replace(before, after)), [], (before, after))

    def test_every_family(self):
        """All on one service, each on its port; the values that Home Assistant shows are theirs."""
        chosen = [family for family in families() if family not in NOT_ON_A_LINE]
        self.assertGreater(len(chosen), 40)
        for at in range(0, len(chosen), 12):
            self.some_families(chosen[at:at + 12])
            self.doCleanups()
            self.setUp()

    def some_families(self, chosen):
        self.write_key(TEST_KEY, TEST_AUTHENTICATION_KEY)
        self.write_key(TEST_KEY, name="without.toml")
        said, more = {}, ""
        for family in chosen:
            octets, values = telegrams(family, 2)
            said[family] = values
            recording = self.directory / f"{family}.bin"
            recording.write_bytes(octets)
            line = self.directory / f"tty-{family}"
            link = LINKS.get(family, "auto")
            player = subprocess.Popen([METERSIM, "play", str(recording), "--link", str(line)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(stop, player)
            more += f'[adapter.{family.replace(".", "-")}]\ndevice = "{line}"\nlink = "{link}"\n'
        self.configure(more=more)
        self.start_daemon(mqtt=False, bus=False, device="/dev/null,link=mbus")
        home = self.home()

        def missing():
            shown = [{name: entity.state for name, entity in home.of_device(device).items()}
                     for device in list(home.devices)]
            return [family for family, values in said.items()
                    if family not in WITHOUT_READINGS and
                    not any(self.shows(states, values) for states in shown)]
        try:
            wait_for("every family", lambda: not missing(), limit=120)
        except AssertionError:
            self.fail(f"not there: {missing()}; {sorted(home.devices)}; {home.problems}")
        self.assert_lawful(self.retained())
        self.assertEqual(home.problems, [])

    @staticmethod
    def shows(states, values):
        """The states are the numbers of one telegram or the other."""
        for telegram in values:
            numbers = {name: value for name, value in telegram["readings"].items()
                       if isinstance(value, (int, float))}
            try:
                if numbers and all(float(states[name]) == value
                                   for name, value in numbers.items()):
                    return True
            except (KeyError, ValueError):
                continue
        return False


class Device(Home):
    def test_a_meter_appears_with_its_values(self):
        self.begin()
        home = self.home()
        self.push()
        values = self.push()
        self.wait_values(home, DEVICE, values)
        entities = home.of_device(DEVICE)
        energy = entities["energy_import"]
        self.assertEqual(energy.entity_id, "sensor.electricity_meter_energy_import")
        self.assertEqual((energy.config["device_class"], energy.config["state_class"],
                          energy.config["unit_of_measurement"]),
                         ("energy", "total_increasing", "kWh"))
        self.assertEqual(energy.config["suggested_display_precision"], 3)
        device = home.devices[DEVICE]
        self.assertEqual((device["name"], device["serial_number"], device["via_device"]),
                         ("Electricity meter", METER, SERVICE))
        self.assertRegex(entities["last-reading"].state, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:00\+00:00$")
        self.wait_state(home, f"{DEVICE}_key-state", "ok")
        self.wait_state(home, f"{SERVICE}_dropped", "0")
        service = home.of_device(SERVICE)
        adapter = next(key.removesuffix("_state") for key in service if key.endswith("_state"))
        self.wait_state(home, f"{SERVICE}_{adapter}_problem", "none")
        self.wait_state(home, f"{SERVICE}_{adapter}_errors", "0")
        self.assertIn(service[f"{adapter}_state"].state,
                      service[f"{adapter}_state"].config["options"])
        for entity in service.values():
            self.assertEqual(entity.config["entity_category"], "diagnostic")
        self.assert_lawful(self.retained())
        self.assertEqual(home.problems, [])

    def test_daemon_ends_and_comes_back(self):
        self.begin()
        home = self.home()
        self.wait_values(home, DEVICE, self.push())
        self.end_daemon()
        wait_for("all to be unavailable", lambda: {entity.state for entity in
                                                   list(home.entities.values())} == {"unavailable"})
        self.run_daemon()
        self.wait_values(home, DEVICE, self.push())
        self.assertNotIn("removed", [what for _, what in home.history])
        self.assertEqual(home.problems, [])

    def test_daemon_is_killed(self):
        self.begin()
        home = self.home()
        self.wait_values(home, DEVICE, self.push())
        self.daemon.kill()
        wait_for("all to be unavailable", lambda: {entity.state for entity in
                                                   list(home.entities.values())} == {"unavailable"})

    def test_silent_meter(self):
        self.begin()
        home = self.home()
        self.push()
        self.wait_values(home, DEVICE, self.push())
        self.wait_state(home, f"{DEVICE}_power_import", "unavailable")
        self.assertNotEqual(home.state(home.registry[f"{SERVICE}_dropped"]), "unavailable")
        self.wait_values(home, DEVICE, self.push())

    def test_expiry_follows_the_interval_but_not_its_jitter(self):
        self.begin()
        home = self.home()
        self.push()
        key = f"{DEVICE}_power_import"
        wait_for("the entity", lambda: home.by_unique_id(key))
        self.assertNotIn("expire_after", home.by_unique_id(key).config)  # not known yet
        for _ in range(3):
            self.push()
            time.sleep(0.7)  # the meter's interval
        wait_for("the expiry", lambda: home.by_unique_id(key).config.get("expire_after") == 60)
        self.assertNotIn("expire_after", home.by_unique_id(f"{DEVICE}_key-state").config)

    def test_restart_of_home_assistant(self):
        self.begin()
        home = self.home()
        values = self.push()  # alone, so that it is not stale soon
        self.wait_values(home, DEVICE, values)
        registry = dict(home.registry)
        home.stop()
        # Somebody cleans the broker up: only saying it again helps.
        for topic, payload in self.retained().items():
            if topic.startswith(("homeassistant/", "smartmeter/")) and payload:
                self.publish(topic, "")
        home.start()
        self.wait_values(home, DEVICE, values)
        self.wait_state(home, f"{SERVICE}_dropped", "0")
        self.assertEqual(home.registry, registry)
        self.assertEqual(home.problems, [])

    def test_names_of_the_user(self):
        self.begin(more=f'[meter.house]\nid = "{METER}"\nname = "House"\n[quantities]\n'
                        '"1-0:32.7.0" = { name = "items" }\n"1-0:52.7.0" = false\n')
        home = self.home()
        values = self.push()
        values["items"] = values.pop("voltage_l1")
        del values["voltage_l2"]
        self.wait_values(home, DEVICE, values)
        self.assertEqual(home.devices[DEVICE]["name"], "House")
        self.assertIn("sensor.house_items", home.entities)
        self.assertNotIn("voltage_l2", home.of_device(DEVICE))
        self.assertEqual(home.problems, [])

    def test_meters_behind_a_meter(self):
        with unittest.mock.patch.dict(os.environ, {"TZ": "Europe/Vienna"}):  # where the meter is
            self.begin(link="auto", keys=False)
        home = self.home()
        self.pty.send(dutch_p1())
        main, gas, water = (f"smartmeterd_{name}" for name in (
            "e0044007123456789", "g0025003407123456", "w0123456789012345"))
        self.wait_values(home, gas, {"volume": 123.456})
        self.wait_values(home, water, {"volume": 42.001})
        self.wait_values(home, main, {"energy_import_t1": 1234.567, "power_import": 545})
        self.assertEqual([home.devices[each]["via_device"] for each in (main, gas, water)],
                         [SERVICE, main, main])
        self.assertEqual([home.devices[each]["name"] for each in (main, gas, water)],
                         ["Electricity meter", "Gas meter", "Water meter"])
        volume = home.of_device(gas)["volume"].config
        self.assertEqual((volume["device_class"], volume["unit_of_measurement"]), ("gas", "m³"))
        self.assertEqual(home.of_device(water)["volume"].config["device_class"], "water")
        self.wait_state(home, f"{gas}_capture_time",
                        home.of_device(gas)["capture_time"].state)
        self.assertRegex(home.of_device(gas)["capture_time"].state, "^2026-11-20T11:55:00")
        self.assert_lawful(self.retained())
        self.assertEqual(home.problems, [])

    def test_lists_at_different_times(self):
        """The second list comes with every 12th telegram only, and stays over a restart."""
        self.begin(link="auto", keys=False)
        home = self.home()
        octets, values = telegrams("e450-two-lists", 13)
        self.pty.send(octets)
        merged = {}
        for each in values:
            merged.update(each["readings"])
        device = wait_for("the meter", lambda: next(
            (each for each in list(home.devices) if each != SERVICE), None))
        self.wait_values(home, device, merged)
        often = set(values[1]["readings"])
        rare = set(merged) - often
        self.assertTrue(rare)
        before = {name: home.of_device(device)[name].state for name in rare}
        self.end_daemon()
        self.run_daemon(link="auto")
        octets, values = telegrams("e450-two-lists", 3)
        self.pty.send(octets[octets.index(b"\x7e", 1):])
        numbers = {name: value for name, value in values[-1]["readings"].items() if name in often}
        self.wait_values(home, device, numbers)
        time.sleep(6)  # longer than the look back
        for name in rare:
            self.assertIn(home.of_device(device)[name].state, (before[name],), name)
        self.assertEqual(home.problems, [])


class Leaving(Home):
    """What is no more goes from Home Assistant, and nothing else does."""

    def there(self, home, name, device=DEVICE):
        return name in home.of_device(device)

    def test_quantity_is_left_out(self):
        self.leave_out("")

    def test_quantity_is_left_out_of_entities(self):
        self.leave_out('discovery = "entities"')

    def leave_out(self, settings):
        self.begin(settings)
        home = self.home()
        self.wait_values(home, DEVICE, self.push())
        self.configure(settings, '[quantities]\n"1-0:32.7.0" = false\n')
        self.daemon.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: "read again" in self.log_text())
        self.push()
        wait_for("it to go", lambda: not self.there(home, "voltage_l1"))
        self.assertTrue(self.there(home, "voltage_l2"))
        self.assertIn((f"{DEVICE}_voltage_l1", "removed"), home.history)
        # The same while the service does not run.
        self.end_daemon()
        self.configure(settings, '[quantities]\n"1-0:32.7.0" = false\n"1-0:52.7.0" = false\n')
        self.run_daemon()
        self.push()
        self.wait_state(home, f"{DEVICE}_key-state", "ok")
        time.sleep(6)  # longer than the look back
        values = self.push()
        wait_for("it to go", lambda: not self.there(home, "voltage_l2"))
        del values["voltage_l1"], values["voltage_l2"]
        self.wait_values(home, DEVICE, values)
        configs = self.assert_lawful(self.retained())
        for name in ("voltage_l1", "voltage_l2"):
            self.assertFalse([topic for topic, payload in configs.items()
                              if name in topic + payload])
        self.assertEqual(home.problems, [])

    def test_the_other_form_and_back(self):
        self.begin()
        home = self.home()
        self.wait_values(home, DEVICE, self.push())
        ids = dict(home.registry)
        for settings, ours, others in (('discovery = "entities"', "sensor", "device"),
                                       ('discovery = "device"', "device", "sensor")):
            self.end_daemon()
            self.configure(settings)
            self.run_daemon()
            self.wait_values(home, DEVICE, self.push())
            wait_for("the other form to go", lambda: not any(
                payload and topic.startswith(f"homeassistant/{others}/")
                for topic, payload in self.retained().items()))
            configs = self.assert_lawful(self.retained())
            self.assertTrue(all(topic.startswith(f"homeassistant/{ours}/") for topic in configs))
            self.assertEqual(home.registry, ids)
            self.assertNotIn("removed", [what for _, what in home.history])
        self.assertIn("unloaded", [what for _, what in home.history])
        self.assertEqual(home.problems, [])

    def test_another_prefix_and_off(self):
        self.begin()
        old = self.home()
        self.wait_values(old, DEVICE, self.push())
        self.end_daemon()
        self.configure('discovery_prefix = "home/ha"')
        self.run_daemon()
        new = self.home(prefix="home/ha")
        self.wait_values(new, DEVICE, self.push())
        wait_for("the old ones to go", lambda: not old.entities)
        self.end_daemon()
        self.configure('discovery_prefix = "ha"')
        self.run_daemon()
        last = self.home(prefix="ha")
        self.wait_values(last, DEVICE, self.push())
        self.end_daemon()
        self.configure('discovery = "off"')
        self.run_daemon()
        wait_for("all to go", lambda: not last.entities)
        self.assertFalse([topic for topic in self.retained() if topic.startswith("ha/")])
        self.push()
        wait_for("the state", lambda: f"smartmeter/{METER}/state" in self.retained())
        self.assertFalse([topic for topic in self.retained() if topic.startswith(
            ("ha/", "homeassistant/"))])

    def test_discovery_of_others_stays(self):
        others = {
            "homeassistant/device/smartmeterd_x1/config": json.dumps(
                {"dev": {"ids": ["smartmeterd_x1"]}, "o": {"name": "smartmeterd", "sw": "1"},
                 "avty": [{"t": "smartmeter/gateway/best/status"}], "cmps": {}},
                separators=(",", ":")),
            "homeassistant/sensor/smartmeterd_x2_power/config": json.dumps(
                {"o": {"name": "other", "sw": "1"},
                 "avty": [{"t": "smartmeter/gateway/test/status"}]}, separators=(",", ":")),
            f"homeassistant/sensor/smartmeterd_{METER}_a/config": "{}",
            "homeassistant/device/lamp/config": '{"dev":{"ids":["lamp"]}}',
        }
        for topic, payload in others.items():
            self.publish(topic, payload)
        for settings in ("", 'discovery = "entities"', 'discovery = "off"'):
            self.begin(settings)
            self.push()
            wait_for("the state", lambda: f"smartmeter/{METER}/state" in self.retained())
            time.sleep(6)  # longer than the look back
            self.end_daemon()
        retained = self.retained()
        self.assertEqual({topic: retained.get(topic) for topic in others}, others)

    def test_meter_that_is_not_heard_stays(self):
        self.begin()
        home = self.home()
        self.wait_values(home, DEVICE, self.push())
        self.end_daemon()
        self.run_daemon()
        self.wait_state(home, f"{SERVICE}_dropped", "0")
        time.sleep(6)  # longer than the look back
        self.assertTrue(self.there(home, "power_import"))
        self.assertEqual(home.by_unique_id(f"{DEVICE}_power_import").state, "unavailable")


class Entities(Home):
    def test_one_message_for_each_entity(self):
        self.begin('discovery = "entities"\nqos = 1\n')
        home = self.home()
        self.push()
        values = self.push()
        self.wait_values(home, DEVICE, values)
        configs = self.assert_lawful(self.retained())
        self.assertIn(f"homeassistant/sensor/{DEVICE}_energy_import/config", configs)
        self.assertFalse([topic for topic in configs if "/device/" in topic])
        self.wait_state(home, f"{SERVICE}_dropped", "0")
        self.end_daemon()
        wait_for("all to be unavailable", lambda: {entity.state for entity in
                                                   list(home.entities.values())} == {"unavailable"})
        self.assertEqual(home.problems, [])


class Bridge(Home):
    KEYS = {"energy_in": "energy_import", "energy_out": "energy_export",
            "power_in": "power_import", "power_out": "power_export",
            "reactive_energy_in": "reactive_energy_import",
            "reactive_energy_out": "reactive_energy_export",
            **{f"{what}_l{phase}": f"{what}_l{phase}" for what in ("voltage", "current")
               for phase in (1, 2, 3)}}

    def test_entities_of_the_bridge_go_on(self):
        """Their ids are in Home Assistant's registry from the time of the YAML."""
        before = {f"smart_meter_{key}": f"sensor.smart_meter_{key}" for key in self.KEYS}
        self.begin('unique_ids = "bridge"')
        home = self.home()
        home.registry.update(before)
        values = self.push()
        for key, name in self.KEYS.items():
            if name not in values:
                continue
            entity_id = f"sensor.smart_meter_{key}"
            wait_for(f"{entity_id}; {home.problems}", lambda: home.state(entity_id) not in (
                None, "unknown", "unavailable"))
            self.assertEqual(float(home.state(entity_id)), values[name])
        shown = set(home.of_device(DEVICE))
        self.assertIn("power_net", shown)  # which the bridge does not know
        self.assertNotIn("power_import", shown)
        self.assertEqual(home.problems, [])

    def test_ids_change_with_the_option(self):
        self.begin()
        home = self.home()
        self.wait_values(home, DEVICE, self.push())
        self.end_daemon()
        self.configure('unique_ids = "bridge"')
        self.run_daemon()
        value = self.push()["energy_import"]
        entity = wait_for("the id", lambda: home.by_unique_id("smart_meter_energy_in"))
        wait_for("its state", lambda: entity.state not in ("unknown", "unavailable"))
        self.assertEqual(entity.value, value)
        self.assertIsNone(home.by_unique_id(f"{DEVICE}_energy_import"))
        self.assertEqual(home.problems, [])

    def test_one_meter_alone_has_them_and_keeps_them(self):
        self.begin('unique_ids = "bridge"', link="auto", keys=False)
        home = self.home()
        self.pty.send(dutch_p1())
        entity = wait_for("the id", lambda: home.by_unique_id("smart_meter_power_in"))
        owner = entity.config["device"]["identifiers"]
        self.end_daemon()
        self.write_key()
        self.run_daemon(link="auto")
        self.push()
        wait_for("the other meter", lambda: self.there_is(home, f"{DEVICE}_power_import"))
        self.pty.send(dutch_p1())
        time.sleep(3)
        self.assertEqual(home.by_unique_id("smart_meter_power_in").config["device"]["identifiers"],
                         owner)
        self.assertEqual(home.problems, [])

    @staticmethod
    def there_is(home, unique_id):
        return home.by_unique_id(unique_id) is not None


class Page(World):
    """daemon/doc/home-assistant.md, taken by its word."""

    TEXT = (pathlib.Path(__file__).resolve().parents[2] / "daemon" / "doc" /
            "home-assistant.md").read_text()

    def test_its_settings_are_settings(self):
        blocks = re.findall(r"```toml\n(.*?)```", self.TEXT, re.DOTALL)
        self.assertGreaterEqual(len(blocks), 5)
        for block in blocks:
            self.config.write_text(with_password_file(block, self.directory))
            done = subprocess.run([SMARTMETERD, "--check", "--config", str(self.config)],
                                  capture_output=True, text=True, check=False, timeout=LIMIT_S)
            self.assertEqual(done.returncode, 0, block + done.stderr)

    def test_its_entities_are_those_of_the_payloads(self):
        printed = subprocess.run([PAYLOADS, "--print"], capture_output=True, text=True, check=True,
                                 timeout=LIMIT_S).stdout
        named = set(re.findall(r"`(sensor\.[a-z_]+)`", self.TEXT))
        self.assertGreaterEqual(len(named), 5)
        for entity_id in named:
            self.assertIn(f'"{entity_id}"', printed)


if __name__ == "__main__":
    tap.main()
