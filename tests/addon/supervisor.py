# SPDX-License-Identifier: Apache-2.0
"""What Home Assistant's Supervisor does with an add-on, from its documentation and sources:
developers.home-assistant.io/docs/apps (configuration.md, communication.md, repository.md) and
home-assistant/supervisor (supervisor/apps/options.py, supervisor/api/services.py), both of 2026.

The fields of config.yaml, the language of options' schemas, and the service "mqtt" of its API.
What the add-on does not use of them is left out, and refused.
"""

import http.server
import json
import re
import threading
import time

ARCHITECTURES = ("aarch64", "amd64")
# Folders, without those of before Supervisor 2026.07, which warns of them.
MAPS = ("data", "homeassistant_config", "app_config", "all_app_configs", "local_apps", "ssl",
        "backup", "share", "media")


class Refused(Exception):
    """The Supervisor would not take it. The message says why."""


def is_texts(value):
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_text(value):
    return isinstance(value, str)


def is_bool(value):
    return isinstance(value, bool)


def is_dict(value):
    return isinstance(value, dict)


def one_of(*words):
    return words.__contains__


def matches(pattern):
    return lambda value: is_text(value) and re.fullmatch(pattern, value) is not None


def texts_that_match(pattern):
    return lambda value: is_texts(value) and all(re.fullmatch(pattern, one) for one in value)


REQUIRED = {"name": is_text, "version": is_text, "slug": matches(r"[-_.A-Za-z0-9]+"),
            "description": is_text,
            "arch": lambda value: is_texts(value) and set(value) <= set(ARCHITECTURES)}
OPTIONAL = {
    "startup": one_of("initialize", "system", "services", "application", "once"),
    "uart": is_bool, "udev": is_bool, "tmpfs": is_bool,
    "services": texts_that_match(r"(mqtt|mysql):(provide|want|need)"),
    "map": texts_that_match(rf"({'|'.join(MAPS)})(:r[wo])?"),
    "image": matches(r"([a-zA-Z\-.:\d{}]+/)*?([-\w{}]+)/([-\w{}]+)"),
    "backup": one_of("hot", "cold"),
    "options": is_dict, "schema": is_dict,
}
REPOSITORY = {"name": is_text, "url": is_text, "maintainer": is_text}


def check_config(config):
    """What is wrong with a config.yaml."""
    known = REQUIRED | OPTIONAL
    return ([f"{name} is missing" for name in REQUIRED if name not in config]
            + [f"{name}: not one of these" for name in config if name not in known]
            + [f"{name}: {value!r}" for name, value in config.items()
               if name in known and not known[name](value)])


ELEMENT = re.compile(
    r"(?P<kind>bool|port|str|password|device(\(subsystem=[a-z]+\))?"
    r"|match\((?P<match>.*)\)|list\((?P<list>.+)\))(?P<optional>\?)?")


def element(text):
    """A type of the schema's language, taken apart."""
    found = ELEMENT.fullmatch(text)
    if not found:
        raise Refused(f"no type of an option: {text}")
    return found


def words(text):
    """The words of a list(…)."""
    return element(text)["list"].split("|")


def is_valid(found, value, devices):
    """Whether a value is of a type."""
    kind = found["kind"]
    if kind == "bool":
        return is_bool(value)
    if kind == "port":
        return isinstance(value, int) and not is_bool(value) and 1 <= value <= 65535
    if not is_text(value):
        return False
    if kind.startswith("device"):
        return value in devices
    if kind.startswith("match"):
        return re.match(found["match"], value) is not None
    if kind.startswith("list"):
        return value in found["list"].split("|")
    return True


def validated(schema, value, devices=(), place="options"):
    """The value as /data/options.json will have it: what the schema does not know is left out."""
    if isinstance(schema, str):
        if not is_valid(element(schema), value, devices):
            raise Refused(f"{place}: {value!r} is no {schema}")
        return value
    if isinstance(schema, list):
        if not isinstance(value, list):
            raise Refused(f"{place}: expected a list")
        return [validated(schema[0], one, devices, place) for one in value]
    if not is_dict(value):
        raise Refused(f"{place}: expected a dictionary")
    for name, inner in schema.items():
        first = inner[0] if isinstance(inner, list) else inner
        is_optional = isinstance(first, str) and element(first)["optional"]
        if name not in value and not is_optional:
            raise Refused(f"{place}: {name} is missing")
    return {name: validated(schema[name], one, devices, f"{place}.{name}")
            for name, one in value.items() if name in schema}


# What it answers to GET /services/mqtt.
NOT_ENABLED = (400, {"result": "error", "message": "Service not enabled"})
NOT_READY = (400, {"result": "error", "message": "System is not ready with state: setup"})
UNAUTHORIZED = (401, "401: Unauthorized")
FORBIDDEN = (403, {"result": "error", "message": "No access to mqtt service!"})


def service(port, **more):
    """A broker of an add-on."""
    return 200, {"result": "ok", "data": {
        "addon": "core_mosquitto", "host": "127.0.0.1", "port": port, "ssl": False,
        "protocol": "3.1.1", **more}}


class Api:
    """The Supervisor's API on loopback. `answers` are given one after the other, the last one for
    ever; a text in place of an answer's JSON is sent as it is. An answer with a third part, a
    number, ends after that many octets.
    """

    def __init__(self, token, *answers, port=0, delay_s=0):
        self.token = token
        self.delay_s = delay_s
        self.answers = list(answers)
        self.requests = []
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                api.requests.append(self.path)
                time.sleep(api.delay_s)
                status, body, *cut = api.answer(self.path, self.headers.get("Authorization"))
                octets = (body if is_text(body) else json.dumps(body)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets[:cut[0]] if cut else octets)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, authorization):
        if authorization != f"Bearer {self.token}":
            return UNAUTHORIZED
        if path != "/services/mqtt":
            return 404, {"result": "error", "message": "Service does not exist"}
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
