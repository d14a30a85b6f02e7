# SPDX-License-Identifier: Apache-2.0
"""The flow of daemon/doc/node-red.md in a real Node-RED, its program with a real MQTT.js."""

import os
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from consumer import House, block, blocks, json, net_power, total, wait_for  # noqa: E402
import npm  # noqa: E402
import tap  # noqa: E402
from harness import stop  # noqa: E402

PAGE = "node-red.md"
NODE_RED, MQTT_JS = "4.1.8", "5.16.0"
FAMILIES = ("kaifa-noe", "dsmr-5", "sml-emh")
# Headless, on no port, with nothing but what the flow needs, and telling nobody of itself.
SETTINGS = """module.exports = {
  httpAdminRoot: false, httpNodeRoot: false, uiHost: "127.0.0.1", uiPort: 0, flowFile: "flow.json",
  disableEditor: true, telemetry: {enabled: false, updateNotification: false},
  logging: {console: {level: "info", metrics: false, audit: false}},
  externalModules: {autoInstall: false, palette: {allowInstall: false, allowUpdate: false}},
  runtimeState: {enabled: false}, diagnostics: {enabled: false},
};
"""


class Program:
    """A program and what it says."""

    def __init__(self, command, directory, **environment):
        self.said = []
        self.process = subprocess.Popen(
            command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"NODE_OPTIONS": "", **environment})
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))

    def wait(self, what):
        def found():
            if self.process.poll() is not None:
                raise AssertionError("it ended:\n" + "\n".join(self.said))
            return any(what in line for line in list(self.said))
        wait_for(f"{what}; it said {self.said}", found, 60)

    def stop(self):
        stop(self.process)
        self.thread.join(5)
        self.process.stdout.close()


class NodeRed(House):
    def flow(self):
        """The page's flow on this test's broker, with its two outputs published below flow/."""
        nodes = json.loads(blocks(PAGE, "json")[0])
        for node in nodes:
            if node["type"] == "mqtt-broker":
                node["broker"], node["port"] = "127.0.0.1", str(self.broker.port)
        for name in ("sm_power", "sm_energy"):
            (debug,) = [node for node in nodes if node["id"] == name]
            self.assertEqual(debug.pop("type"), "debug")
            debug |= {"type": "function", "outputs": 1, "wires": [[f"{name}_out"]], "func":
                      "return {topic: `flow/${msg.topic}/${msg.meter}`, payload: msg};"}
            nodes.append({"id": f"{name}_out", "type": "mqtt out", "z": "sm_flow", "topic": "",
                          "qos": "1", "retain": "", "broker": "sm_broker", "wires": []})
        return nodes

    def test_the_flow_shows_power_and_energy(self):
        modules = npm.installed(**{"node-red": NODE_RED})
        self.broker.start()
        self.start_house(*FAMILIES)
        home = self.directory / "node-red"
        home.mkdir()
        (home / "settings.js").write_text(SETTINGS)
        (home / "flow.json").write_text(json.dumps(self.flow()))
        red = Program(["node", str(modules / "node_modules/node-red/red.js"), "--userDir",
                       str(home), "--settings", str(home / "settings.js")], home)
        self.addCleanup(red.stop)
        red.wait("Connected to broker")
        subscriber = self.subscriber()
        for family in FAMILIES:
            meter = self.send(family)
            state = subscriber.state(meter.slug)
            power = json.loads(subscriber.wait(f"flow/power/{state['meter']}"))
            self.assertEqual(power["payload"], net_power(meter.values), family)
            self.assertEqual(power["time"], state["received"])
            energy = json.loads(subscriber.wait(f"flow/energy/{state['meter']}"))["payload"]
            self.assertEqual(energy["import"], total(meter.values, "energy_import"), family)
            self.assertEqual(energy.get("export"), total(meter.values, "energy_export"), family)
        # The meters behind the P1 port have a state, and the flow makes nothing of theirs.
        heard = list(subscriber.latest)
        self.assertGreater(len([topic for topic in heard if topic.endswith("/state")]),
                           len(FAMILIES))
        self.assertEqual(len([topic for topic in heard if topic.startswith("flow/")]),
                         2 * len(FAMILIES))


class MqttJs(House):
    def test_the_program_reads_states_and_their_properties(self):
        modules = npm.installed(mqtt=MQTT_JS)
        self.broker.start()
        self.start_house(*FAMILIES)
        program = self.directory / "power.js"
        program.write_text(block(PAGE, "// power.js"))
        js = Program(["node", str(program)], self.directory, BROKER=self.broker.url,
                     NODE_PATH=str(modules / "node_modules"))
        self.addCleanup(js.stop)
        subscriber = self.subscriber()
        for family in FAMILIES:
            meter = self.send(family)
            state = subscriber.state(meter.slug)
            js.wait(f'"meter":"{state["meter"]}"')
            (line,) = [said for said in js.said if f'"meter":"{state["meter"]}"' in said]
            said = json.loads(line)
            self.assertEqual(said["power"], net_power(meter.values))
            self.assertEqual(said["contentType"], "application/json")


    def test_a_state_says_how_long_it_counts(self):
        """Once the service knows how often the meter sends."""
        modules = npm.installed(mqtt=MQTT_JS)
        self.broker.start()
        self.start_house("dsmr-5")
        program = self.directory / "power.js"
        program.write_text(block(PAGE, "// power.js"))
        js = Program(["node", str(program)], self.directory, BROKER=self.broker.url,
                     NODE_PATH=str(modules / "node_modules"))
        self.addCleanup(js.stop)

        def says_so():
            power = net_power(self.send("dsmr-5").values)  # other by day than at night
            time.sleep(0.5)
            return any(f'"power":{power}' in said and "messageExpiryInterval" in said
                       for said in list(js.said))
        wait_for("an expiry", says_so)


if __name__ == "__main__":
    tap.main()
