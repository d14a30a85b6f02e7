# SPDX-License-Identifier: Apache-2.0
"""What Home Assistant does with MQTT: a check of discovery payloads, and a consumer of them.

Both are written from what Home Assistant documents and its sources say (integration mqtt, sensor
classes), not from what smartmeterd publishes. `check` is the schema; `HomeAssistant` discovers
devices and entities, renders templates and keeps states as Home Assistant would: availability,
expiry, birth message, removal, migration between the two forms of discovery, and a registry that
outlives a restart.
"""

import contextlib
import datetime
import json
import re
import threading
import time
import zoneinfo

import jinja2
import paho.mqtt.client as mqtt

ABBREVIATIONS = {
    "avty": "availability", "avty_mode": "availability_mode", "avty_t": "availability_topic",
    "cmps": "components", "dev": "device", "dev_cla": "device_class", "en": "enabled_by_default",
    "ent_cat": "entity_category", "exp_aft": "expire_after", "frc_upd": "force_update",
    "json_attr_t": "json_attributes_topic", "o": "origin", "ops": "options", "p": "platform",
    "pl_avail": "payload_available", "pl_not_avail": "payload_not_available",
    "stat_cla": "state_class", "stat_t": "state_topic",
    "sug_dsp_prc": "suggested_display_precision", "t": "topic", "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template",
}
DEVICE_ABBREVIATIONS = {
    "cu": "configuration_url", "cns": "connections", "ids": "identifiers", "mf": "manufacturer",
    "mdl": "model", "mdl_id": "model_id", "hw": "hw_version", "sw": "sw_version",
    "sa": "suggested_area", "sn": "serial_number",
}
ORIGIN_ABBREVIATIONS = {"sw": "sw_version", "url": "support_url"}

ENERGY = {"J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "TWh", "cal", "kcal", "Mcal",
          "Gcal"}
TOTALS = {"total", "total_increasing"}
MEASUREMENT = {"measurement"}
# Device class: (units, state classes); None: none at all. Those of Home Assistant 2024.12, the
# oldest with device discovery: a newer class or unit makes it refuse the entity.
CLASSES = {
    "energy": (ENERGY, TOTALS),
    "power": ({"W", "kW", "MW", "GW", "TW"}, MEASUREMENT),
    "reactive_power": ({"var"}, MEASUREMENT),
    "apparent_power": ({"VA"}, MEASUREMENT),
    "voltage": ({"V", "mV", "µV"}, MEASUREMENT),
    "current": ({"A", "mA"}, MEASUREMENT),
    "frequency": ({"Hz", "kHz", "MHz", "GHz"}, MEASUREMENT),
    "power_factor": ({"%", None}, MEASUREMENT),
    "gas": ({"m³", "ft³", "CCF"}, TOTALS),
    "water": ({"L", "m³", "gal", "ft³", "CCF"}, TOTALS),
    "volume": ({"mL", "L", "m³", "gal", "ft³", "CCF", "fl. oz."}, TOTALS),
    "volume_flow_rate": ({"m³/h", "L/min", "mL/s", "ft³/min", "gal/min"}, MEASUREMENT),
    "temperature": ({"°C", "°F", "K"}, MEASUREMENT),
    "humidity": ({"%"}, MEASUREMENT),
    "pressure": ({"mbar", "cbar", "bar", "Pa", "hPa", "kPa", "inHg", "psi"}, MEASUREMENT),
    "duration": ({"d", "h", "min", "s", "ms"}, TOTALS | MEASUREMENT),
    "signal_strength": ({"dB", "dBm"}, MEASUREMENT),
    "timestamp": ({None}, None),
    "enum": ({None}, None),
}
SENSOR_KEYS = {
    "availability", "availability_mode", "default_entity_id", "device_class", "enabled_by_default",
    "entity_category", "expire_after", "force_update", "name", "options", "platform", "qos",
    "state_class", "state_topic", "suggested_display_precision", "unique_id",
    "unit_of_measurement", "value_template",
}
ROOT_KEYS = {"device", "origin", "components", "availability", "availability_mode", "state_topic",
             "qos", "encoding"}
SHARED_KEYS = ROOT_KEYS - {"components"}
DEVICE_KEYS = {"name", "via_device"} | set(DEVICE_ABBREVIATIONS.values())
TOPIC = re.compile(r"(?P<component>\w+)/(?:(?P<node>[a-zA-Z0-9_-]+)/)?"
                   r"(?P<object>[a-zA-Z0-9_-]+)/config")
PAYLOAD_MAX = 128 * 1024  # the lowest limit of the brokers that people use


def expand(payload):
    """The payload with its keys in full."""
    def replace(values, abbreviations):
        return {abbreviations.get(key, key): value for key, value in values.items()}
    full = replace(payload, ABBREVIATIONS)
    if "device" in full:
        full["device"] = replace(full["device"], DEVICE_ABBREVIATIONS)
    if "origin" in full:
        full["origin"] = replace(full["origin"], ORIGIN_ABBREVIATIONS)
    if "availability" in full:
        full["availability"] = [replace(each, ABBREVIATIONS) for each in full["availability"]]
    if "components" in full:
        full["components"] = {key: expand(each) for key, each in full["components"].items()}
    return full


def is_numeric(config):
    """Home Assistant expects a number of such an entity."""
    return config.get("device_class") not in ("timestamp", "enum") and any(
        key in config for key in ("state_class", "unit_of_measurement",
                                  "suggested_display_precision"))


# --- the schema

def check(topic, text, prefix="homeassistant"):
    """What is wrong with a retained discovery message; an empty list: nothing."""
    match = TOPIC.fullmatch(topic.removeprefix(f"{prefix}/"))
    if not match:
        return [f"{topic}: not a discovery topic"]
    problems = []
    if len(text.encode()) > PAYLOAD_MAX:
        problems.append(f"{len(text.encode())} bytes")

    def no_float(digits):
        problems.append(f"the number {digits}")
        return float(digits)
    payload = expand(json.loads(text, parse_float=no_float))
    problems += _check_origin(payload) + _check_device(payload) + _check_availability(payload)
    if match["component"] == "device":
        problems += _unknown_keys(payload, ROOT_KEYS)
        components = payload.get("components")
        if not components:
            problems.append("no components")
        for key, component in (components or {}).items():
            if not re.fullmatch("[a-zA-Z0-9_-]+", key):
                problems.append(f"{key}: not an id")
            if component.get("platform") != "sensor":
                problems.append(f"{key}: platform")
            if set(component) == {"platform"}:
                continue  # one that is removed
            merged = {key: value for key, value in payload.items() if key in SHARED_KEYS}
            problems += [f"{key}: {each}" for each in _check_sensor({**merged, **component})]
            problems += [f"{key}: {each}" for each in _unknown_keys(component, SENSOR_KEYS)]
        ids = [each["unique_id"] for each in (components or {}).values() if "unique_id" in each]
        if len(ids) != len(set(ids)):
            problems.append("a unique_id twice")
    elif match["component"] == "sensor":
        problems += _check_sensor(payload)
        problems += _unknown_keys(payload, SENSOR_KEYS | {"device", "origin"})
    else:
        problems.append(f"unexpected component {match['component']}")
    return [f"{topic}: {each}" for each in problems]


def _unknown_keys(config, known):
    return [f"unknown key {key}" for key in sorted(set(config) - known)]


def _check_origin(payload):
    origin = payload.get("origin", {})
    return [] if origin.get("name") and set(origin) <= {"name", "sw_version", "support_url"} else \
        ["origin"]


def _check_device(payload):
    device = payload.get("device", {})
    problems = _unknown_keys(device, DEVICE_KEYS)
    if not device.get("identifiers") and not device.get("connections"):
        problems.append("device without identifiers")
    if device.get("via_device") in device.get("identifiers", []):
        problems.append("device behind itself")
    if not device.get("name"):
        problems.append("device without a name")
    return problems


def _check_availability(payload):
    problems = []
    if "availability_topic" in payload:
        problems.append("availability_topic beside availability")
    for each in payload.get("availability", []):
        if not each.get("topic") or set(each) - {"topic", "payload_available",
                                                 "payload_not_available", "value_template"}:
            problems.append(f"availability {each}")
    if payload.get("availability_mode", "latest") not in ("all", "any", "latest"):
        problems.append("availability_mode")
    return problems


def _check_sensor(config):
    problems = []
    for key in ("unique_id", "state_topic", "value_template", "name"):
        if not isinstance(config.get(key), str) or not config[key]:
            problems.append(f"no {key}")
    if not re.fullmatch(r"sensor\.[a-z0-9]+(_[a-z0-9]+)*", config.get("default_entity_id", "")):
        problems.append(f"default_entity_id {config.get('default_entity_id')}")
    if not isinstance(config.get("expire_after", 1), int) or config.get("expire_after", 1) <= 0:
        problems.append("expire_after")
    if config.get("entity_category", "diagnostic") != "diagnostic":
        problems.append("entity_category")  # sensors know no other one
    precision = config.get("suggested_display_precision", 0)
    if not isinstance(precision, int) or precision < 0:
        problems.append("suggested_display_precision")
    try:
        jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(
            config.get("value_template", ""))
    except jinja2.TemplateError as error:
        problems.append(f"value_template: {error}")
    return problems + _check_classes(config)


def _check_classes(config):
    problems = []
    device_class, unit = config.get("device_class"), config.get("unit_of_measurement")
    state_class = config.get("state_class")
    if device_class is not None:
        if device_class not in CLASSES:
            return [f"device_class {device_class}"]
        units, state_classes = CLASSES[device_class]
        if unit not in units:
            problems.append(f"unit {unit} with device_class {device_class}")
        if state_class is not None and state_class not in (state_classes or ()):
            problems.append(f"state_class {state_class} with device_class {device_class}")
    if state_class not in (None, "measurement", "total", "total_increasing"):
        problems.append(f"state_class {state_class}")
    if (device_class == "enum") != bool(config.get("options")):
        problems.append("options are those of an enum")
    if unit == "" or (unit or "").strip() != (unit or ""):
        problems.append(f"unit {unit!r}")
    return problems


# --- the consumer

class _Undefined(jinja2.Undefined):
    """Home Assistant warns in its log when a template prints what is not there."""

    def __str__(self):
        raise jinja2.UndefinedError(self._undefined_message)


class Entity:
    """A sensor that was discovered."""

    def __init__(self, home, entity_id, config):
        self.home, self.entity_id = home, entity_id
        self.native = None
        self.expires = None
        self.available = {}
        self.configure(config)

    def configure(self, config):
        self.config = config
        topics = {each["topic"] for each in config.get("availability", [])}
        self.available = {topic: self.available.get(topic, False) for topic in topics}
        # Expired until the first message.
        self.expires = self.expires or (time.monotonic() if "expire_after" in config else None)
        if "expire_after" not in config:
            self.expires = None
        self.template = self.home.templates.from_string(config["value_template"])

    def topics(self):
        return {self.config["state_topic"], *self.available}

    def heard(self, topic, payload):
        for each in self.config.get("availability", []):
            if each["topic"] == topic:
                if payload == each.get("payload_available", "online"):
                    self.available[topic] = True
                elif payload == each.get("payload_not_available", "offline"):
                    self.available[topic] = False
        if topic == self.config["state_topic"] and payload:
            if "expire_after" in self.config:
                self.expires = time.monotonic() + self.config["expire_after"]
            self.take(payload)

    def take(self, payload):
        try:
            value_json = json.loads(payload)
            text = self.template.render(value=payload, value_json=value_json)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            self.home.problems.append(f"{self.entity_id}: {error}")
            return
        if text == "None":
            self.native = None
        elif is_numeric(self.config):
            if text:  # an empty one is ignored
                try:
                    float(text)
                    self.native = text
                except ValueError:
                    self.home.problems.append(f"{self.entity_id}: not a number: {text}")
        elif self.config.get("device_class") == "timestamp":
            moment = self.parse_time(text)
            self.native = moment.isoformat() if moment else None
        elif text not in self.config.get("options", [text]) or len(text) > 255:
            self.home.problems.append(f"{self.entity_id}: invalid state {text}")
        else:
            self.native = text

    def parse_time(self, text):
        with contextlib.suppress(ValueError):
            moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
            if moment.tzinfo is not None:
                return moment
        self.home.problems.append(f"{self.entity_id}: not a moment: {text}")
        return None

    @property
    def is_available(self):
        if self.expires is not None and time.monotonic() >= self.expires:
            return False
        mode = all if self.config.get("availability_mode") == "all" else any
        return mode(self.available.values()) if self.available else True

    @property
    def state(self):
        if not self.is_available:
            return "unavailable"
        return "unknown" if self.native is None else self.native

    @property
    def value(self):
        """The state as a number."""
        return float(self.state)


class HomeAssistant:
    """Discovers, subscribes, shows. `stop` and `start` are a restart: the registry stays.

    entities: by entity_id; registry: unique_id -> entity_id; devices: by identifier; problems:
    what its log would complain about.
    """

    def __init__(self, host, port, prefix="homeassistant", zone="Europe/Vienna"):
        self.host, self.port, self.prefix = host, port, prefix
        self.zone = zoneinfo.ZoneInfo(zone)
        self.registry = {}
        self.problems = []
        self.history = []  # (unique_id, "added", "updated", "removed" or "unloaded")
        self.lock = threading.RLock()
        self.templates = jinja2.Environment(undefined=_Undefined)
        self.templates.filters["as_datetime"] = self._as_datetime
        self.templates.filters["as_local"] = self._as_local
        self.client = None
        self._forget()

    def _forget(self):
        self.entities = {}
        self.devices = {}
        self._discovered = {}  # (component, discovery id) -> entity
        self._subscribed = set()

    @staticmethod
    def _as_datetime(value):
        with contextlib.suppress(ValueError, AttributeError):
            return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        return None

    def _as_local(self, value):
        return value.replace(tzinfo=self.zone) if value.tzinfo is None else \
            value.astimezone(self.zone)

    def start(self):
        self._forget()
        self.client = mqtt.Client()
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.will_set("homeassistant/status", "offline")
        self.client.connect(self.host, self.port)
        self.client.loop_start()
        return self

    def stop(self):
        if self.client is None:
            return
        self.client.publish("homeassistant/status", "offline").wait_for_publish(5)
        self.client.disconnect()
        self.client.loop_stop()
        self.client = None

    def state(self, entity_id):
        with self.lock:
            entity = self.entities.get(entity_id)
            return entity.state if entity else None

    def by_unique_id(self, unique_id):
        with self.lock:
            return self.entities.get(self.registry.get(unique_id))

    def of_device(self, identifier):
        """Key (end of the unique id, or its all) -> entity of a device."""
        with self.lock:
            return {entity.config["unique_id"].removeprefix(f"{identifier}_"): entity
                    for entity in self.entities.values()
                    if identifier in entity.config["device"]["identifiers"]}

    def _on_connect(self, client, _userdata, _flags, _code):
        client.subscribe([(f"{self.prefix}/+/+/config", 0), (f"{self.prefix}/+/+/+/config", 0)])
        client.publish("homeassistant/status", "online")

    def _on_message(self, _client, _userdata, message):
        with self.lock:
            try:
                self._heard(message.topic, message.payload.decode())
            except Exception as error:  # pylint: disable=broad-except
                self.problems.append(f"{message.topic}: {error!r}")

    def _heard(self, topic, payload):
        match = TOPIC.fullmatch(topic.removeprefix(f"{self.prefix}/"))
        if topic.startswith(f"{self.prefix}/") and match:
            object_id = " ".join(filter(None, (match["node"], match["object"])))
            self._discover(match["component"], object_id, json.loads(payload) if payload else {})
            return
        for entity in list(self._discovered.values()):
            if topic in entity.topics():
                entity.heard(topic, payload)

    def _discover(self, component, object_id, payload):
        if component != "device":
            return self._entity((component, object_id), expand(payload))
        below = [key for key in self._discovered if key[1].startswith(f"{object_id} ")]
        if not payload or "migrate_discovery" in payload:
            for key in below:
                self._entity(key, payload)
            return None
        full = expand(payload)
        shared = {key: value for key, value in full.items() if key in SHARED_KEYS}
        for key, config in full["components"].items():
            place = (config.pop("platform"), f"{object_id} {key}")
            self._entity(place, {**shared, **config} if config else {})
        # What is only left out stays as it was: it has to be removed first.
        for place in below:
            if place[1].split(" ", 1)[1] not in full["components"] and place in self._discovered:
                self.problems.append(f"{place[1]}: left out without having been removed")
        return None

    def _entity(self, place, config):
        entity = self._discovered.get(place)
        if config.get("migrate_discovery"):
            if entity:
                self._unload(place, "unloaded")
        elif not config:
            if entity:
                self._unload(place, "removed")
                del self.registry[entity.config["unique_id"]]
        elif entity:
            if entity.config["unique_id"] != config["unique_id"]:
                self.problems.append(f"{place}: its unique_id changed")
                return
            entity.configure(config)
            self.history.append((config["unique_id"], "updated"))
            self._subscribe(entity)
        else:
            self._add(place, config)

    def _add(self, place, config):
        problems = _check_sensor(config) + _check_device(config)
        if problems:
            self.problems += [f"{place}: {each}" for each in problems]
            return
        unique_id = config["unique_id"]
        if any(other.config["unique_id"] == unique_id for other in self._discovered.values()):
            self.problems.append(f"{place}: unique_id {unique_id} exists already - ignoring")
            return
        entity_id = self.registry.get(unique_id)
        if entity_id is None:
            entity_id, n = config["default_entity_id"], 2
            while entity_id in self.registry.values():
                entity_id, n = f"{config['default_entity_id']}_{n}", n + 1
            self.registry[unique_id] = entity_id
        entity = Entity(self, entity_id, config)
        self._discovered[place] = self.entities[entity_id] = entity
        self.devices.update({each: config["device"] for each in config["device"]["identifiers"]})
        self.history.append((unique_id, "added"))
        self._subscribe(entity)

    def _unload(self, place, how):
        entity = self._discovered.pop(place)
        del self.entities[entity.entity_id]
        self.history.append((entity.config["unique_id"], how))
        if not any(entity.config["device"] == other.config["device"]
                   for other in self._discovered.values()):
            for each in entity.config["device"]["identifiers"]:
                self.devices.pop(each, None)

    def _subscribe(self, entity):
        for topic in entity.topics():  # again for each one: so it gets what is retained
            self.client.subscribe(topic, entity.config.get("qos", 0))
