#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How a program talks to smartmeterd over D-Bus: a tutorial that runs.

Each chapter is a function, and a command:

    meter_client.py objects         what there is: ObjectManager
    meter_client.py values          properties, and PropertiesChanged when they change
    meter_client.py readings        the Reading signal: every telegram, complete
    meter_client.py history         rows of the past
    meter_client.py probe           a method that takes long, and its ProbeProgress signals
    meter_client.py capture FILE    a method that answers with a file descriptor

What all names mean is in org.smartmeterd1(5). `probe`, `capture` and `history` are for root and the
group smartmeterd. Needs python3-dbus-next.
"""

import argparse
import asyncio
import os
import sys
import time

from dbus_next import BusType, DBusError, Variant
from dbus_next.aio import MessageBus

SERVICE, ROOT = "org.smartmeterd1", "/org/smartmeterd1"
METER, ADAPTER = "org.smartmeterd1.Meter", "org.smartmeterd1.Adapter"


async def interface(bus, path, name):
    """A proxy: its methods are call_…, its properties get_…, its signals on_….

    dbus-next asks the object what it has, and makes snake_case of the names.
    """
    introspection = await bus.introspect(SERVICE, path)
    return bus.get_proxy_object(SERVICE, path, introspection).get_interface(name)


def plain(value):
    """What is in a Variant, which D-Bus wraps around values whose type is not fixed."""
    return value.value if isinstance(value, Variant) else value


async def find(bus, wanted_interface, name=None):
    """Path of the first object with the interface; with `name`: of the meter or adapter of it."""
    manager = await interface(bus, ROOT, "org.freedesktop.DBus.ObjectManager")
    for path, interfaces in sorted((await manager.call_get_managed_objects()).items()):
        properties = interfaces.get(wanted_interface)
        if properties is None:
            continue
        # Never take a path apart: what the object is called is in its properties.
        names = [plain(properties[key]) for key in ("Id", "Name", "Device") if key in properties]
        if name is None or name in names:
            return path
    raise LookupError(f"no {wanted_interface.rpartition('.')[2].lower()} {name or 'yet'}")


async def objects(bus, _):
    """One call gives every object with its interfaces and properties, two signals the changes."""
    manager = await interface(bus, ROOT, "org.freedesktop.DBus.ObjectManager")

    def show(path, interfaces):
        print(path)
        for name, properties in interfaces.items():
            if name.startswith(SERVICE):
                print(f"  {name}: {len(properties)} properties")
    manager.on_interfaces_added(lambda path, interfaces: (print("new:"), show(path, interfaces)))
    manager.on_interfaces_removed(lambda path, interfaces: print(f"gone: {path}"))
    for path, interfaces in sorted((await manager.call_get_managed_objects()).items()):
        show(path, interfaces)
    await bus.wait_for_disconnect()


async def values(bus, arguments):
    """The latest values: for a display, which wants to know what is so now."""
    path = await find(bus, METER, arguments.meter)
    electricity = await interface(bus, path, "org.smartmeterd1.Electricity")
    print(f"PowerImport is {await electricity.get_power_import()} W")
    properties = await interface(bus, path, "org.freedesktop.DBus.Properties")

    def on_changed(interface_name, changed, _invalidated):
        # `changed` has what changed and nothing else. A value that the meter does not have is NaN.
        if interface_name == "org.smartmeterd1.Electricity":
            for name, variant in changed.items():
                print(f"{name} is now {variant.value}")
    properties.on_properties_changed(on_changed)
    await bus.wait_for_disconnect()


async def readings(bus, arguments):
    """Every telegram: for whoever writes them down, and must not miss one."""
    meter = await interface(bus, await find(bus, METER, arguments.meter), METER)
    last = None

    def on_reading(time_us, sequence, named_values):
        nonlocal last
        if last is not None and sequence != last + 1:
            print(f"missed {sequence - last - 1} telegrams")
        last = sequence
        moment = time.strftime("%X", time.localtime(time_us / 1e6))
        print(f"{moment} {sequence}:", ", ".join(
            f"{name} {variant.value}" for name, variant in named_values.items()))
    meter.on_reading(on_reading)
    await bus.wait_for_disconnect()


async def history(bus, arguments):
    """Rows of the past, here the hours of a day; options have names, so that more can come."""
    meter = await interface(bus, await find(bus, METER, arguments.meter), METER)
    now_us, hour_us = int(time.time() * 1e6), 3600 * 1_000_000
    from_us = (now_us // hour_us - 23) * hour_us  # rows of a step follow each other from here
    options = {}  # or {"period": Variant("s", "day")} in place of a step
    rows = await meter.call_history(from_us, now_us, 3600, options)
    for start_us, row in rows:
        used = row.get("energy_import_delta")  # missing where there was nothing before it
        print(time.strftime("%x %X", time.localtime(start_us / 1e6)),
              f"{row['telegrams']:.0f} telegrams,",
              "use unknown" if used is None else f"{used:.3f} kWh used")


async def probe(bus, arguments):
    """The search for line settings: it signals how it goes, and answers when it is over."""
    adapter = await interface(bus, await find(bus, ADAPTER, arguments.adapter), ADAPTER)

    def on_progress(details):
        details = {name: variant.value for name, variant in details.items()}
        print(f"{details['line-settings']}: {details['bytes']} bytes, {details['frames']} frames: "
              f"{details['message']}")
    adapter.on_probe_progress(on_progress)
    # dbus-next waits as long as it takes; other libraries give up after 25 s and must be told.
    found = await adapter.call_probe({"timeout-ms": Variant("u", 60_000)})
    for name, variant in found.items():
        print(f"{name}: {variant.value}")


async def capture(bus, arguments):
    """The bytes of the line: OpenCapture answers with the read end of a pipe."""
    adapter = await interface(bus, await find(bus, ADAPTER, arguments.adapter), ADAPTER)
    # "capture" has times, line settings and errors; "raw" would be the bytes alone.
    descriptor = await adapter.call_open_capture({"format": Variant("s", "capture")})
    # It does not block: the loop says when there is something to read. An empty read is the end,
    # which comes when the adapter goes; closing our end is how we end it.
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    # Telegrams are personal data: nobody else may read them.
    own = os.open(arguments.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(own, "wb") as out, open(descriptor, "rb", buffering=0) as pipe:
        def on_readable():
            data = pipe.read(65536)
            if data:
                out.write(data)
                out.flush()
            elif data is not None:  # None: nothing after all
                loop.remove_reader(pipe)
                over.set()
        loop.add_reader(pipe, on_readable)
        try:
            await asyncio.wait_for(over.wait(), arguments.seconds)
        except asyncio.TimeoutError:
            loop.remove_reader(pipe)
    print(f"{os.path.getsize(arguments.file)} bytes in {arguments.file}")


async def run(arguments):
    # File descriptors come along only where that was agreed on when connecting.
    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    await arguments.chapter(bus, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    chapters = parser.add_subparsers(required=True, metavar="CHAPTER")
    for chapter in (objects, values, readings, history, probe, capture):
        command = chapters.add_parser(chapter.__name__, help=chapter.__doc__.splitlines()[0])
        command.set_defaults(chapter=chapter)
        if chapter in (values, readings, history):
            command.add_argument("meter", nargs="?", help="id or name; without it the first")
        if chapter is capture:
            command.add_argument("file")
            command.add_argument("--seconds", type=float, help="until interrupted without it")
        if chapter in (probe, capture):
            command.add_argument("--adapter", help="its Device; without it the first")
    sys.stdout.reconfigure(line_buffering=True)  # also into a pipe
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        return 0
    except DBusError as error:
        # Errors have names, which programs may rely on, and sentences for people.
        print(f"meter_client: {error.type}: {error.text}", file=sys.stderr)
        return 1
    except (LookupError, OSError) as error:
        print(f"meter_client: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
