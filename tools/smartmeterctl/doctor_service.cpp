// SPDX-License-Identifier: Apache-2.0
// smartmeterctl doctor: the steps about the service: is it running, D-Bus, the brokers.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tools/smartmeterctl/doctor_walk.hpp"

namespace smartmeterctl {

void Walk::service() {
  const ServiceFacts& service = found_.service;
  const bool on_system = found_.bus.where == "system" || service.is_known;
  if (found_.bus.owner && found_.bus.is_silent)
    return fail("no-answer",
                fmt::format("smartmeterd does not answer (process {})", *found_.bus.owner),
                on_system ? fmt::format("\"sudo systemctl restart smartmeterd\" starts it anew; "
                                        "\"{}\" shows what it did last",
                                        journal_command)
                          : "end it, and start it anew");
  if (found_.bus.owner) {
    if (found_.bus.refusal.empty() && !found_.device.empty() && adapter_.map().empty() &&
        deciding(steps_) == nullptr)
      return fail(
          "not-served", "smartmeterd runs, but does not have this adapter",
          fmt::format("\"sudo udevadm trigger --action=add {}\", or \"sudo systemctl restart "
                      "smartmeterd\"",
                      found_.device));
    return ok(*found_.bus.owner == 0
                  ? "smartmeterd runs"
                  : fmt::format("smartmeterd runs (process {})", *found_.bus.owner));
  }
  if (!service.is_known && !found_.bus.error.empty()) return unknown("the bus cannot be asked");
  if (service.load == "not-found")
    return fail("not-installed", "there is no smartmeterd.service",
                "install smartmeterd, then \"sudo systemctl daemon-reload\"");
  if (service.load == "masked")
    return fail("not-running", "smartmeterd.service is masked",
                "\"sudo systemctl unmask smartmeterd\"");
  const std::string last = service.last_error.empty() ? "" : ": " + service.last_error;
  if (service.active == "failed" || (service.active == "activating" && !last.empty()))
    return fail("service-failed", "smartmeterd does not start" + last,
                fmt::format("correct that, then \"sudo systemctl restart smartmeterd\"; \"{}\" "
                            "says more",
                            journal_command));
  if (service.active == "active" || service.active == "reloading")
    return ok("smartmeterd.service is active");  // the bus is the step that fails
  if (service.active == "activating") return unknown("smartmeterd is starting");
  fail("not-running", "smartmeterd is not running",
       on_system ? "\"sudo systemctl start smartmeterd\""
                 : fmt::format("\"smartmeterd --bus {}\" starts it on this bus", found_.bus.where));
}

void Walk::bus() {
  const BusFacts& bus = found_.bus;
  if (!bus.error.empty())
    return fail("no-bus", bus.error,
                bus.where != "system" ? "check the address"
                : bus.is_silent       ? "\"systemctl status dbus\" shows how it is; restart the "
                                        "machine if it stays so"
                                      : "\"sudo systemctl start dbus\"");
  if (!bus.owner) {
    if (found_.service.active != "active") return unknown("nobody owns org.smartmeterd1");
    return fail("no-name", "smartmeterd runs, but does not own the name org.smartmeterd1",
                "its policy file is not in force: \"sudo systemctl reload dbus\", then \"sudo "
                "systemctl restart smartmeterd\"");
  }
  if (bus.is_silent) return unknown("smartmeterd does not answer");
  if (!bus.refusal.empty())
    return fail("refused", bus.refusal,
                "run it as root or as a member of the group smartmeterd; a policy in "
                "/etc/dbus-1/system.d may close it to others");
  ok("org.smartmeterd1 answers");
}

void Walk::broker() {
  if (!found_.bus.owner || !found_.bus.refusal.empty()) return unknown("smartmeterd does not say");
  if (found_.publishers.empty())
    return ok("none is configured: the readings are on D-Bus alone",
              "one is set in a [broker.NAME] table of /etc/smartmeterd/smartmeterd.toml");
  std::string online;
  const auto troubled = std::ranges::find_if(found_.publishers, [](const Value& publisher) {
    return publisher["State"].text() != "online" || !publisher["LastError"].text().empty();
  });
  if (troubled == found_.publishers.end()) {
    std::set<std::string> brokers;  // one that is sink and source is there twice
    for (const Value& publisher : found_.publishers)
      if (brokers.insert(publisher["Broker"].text()).second)
        online += (online.empty() ? "" : ", ") + publisher["Broker"].text();
    return ok(online + ", online");
  }
  const std::string broker = (*troubled)["Broker"].text();
  const std::string error = (*troubled)["LastError"].text();
  const std::string state = (*troubled)["State"].text();
  if (state == "connecting" && error.empty())
    return unknown(fmt::format("{} is being connected", broker), "ask again in a moment",
                   "broker-connecting");
  const std::string evidence =
      fmt::format("{}: {}", broker, error.empty() ? "not connected" : error);
  const std::string port = broker.substr(broker.rfind(':') + 1);
  if (error.starts_with("not allowed to "))
    return fail("broker-forbids", evidence,
                "allow it in the broker's list of rights, or correct the prefix in the "
                "[broker.NAME] table or the topic in the [source.NAME] table");
  if (error.starts_with("not authorized"))
    return fail("broker-unauthorised", evidence,
                "correct user and password_file in the [broker.NAME] table, then \"sudo systemctl "
                "reload smartmeterd\"");
  if (error.ends_with("onnection refused") && broker.starts_with("unix://"))
    return fail("broker-refused", evidence,
                "nobody listens there any more: start the broker, with this socket as a listener");
  if (error.ends_with("onnection refused"))
    return fail("broker-refused", evidence,
                fmt::format("nobody listens there: start the broker, or have it listen on port {}, "
                            "and check the url in the [broker.NAME] table",
                            port));
  if (error.find("client id") != error.npos)
    return fail("broker-taken-over", evidence,
                "give this gateway a client_id of its own in the [broker.NAME] table");
  fail("broker-unreachable", evidence,
       "check the url in the [broker.NAME] table (host, port, mqtt or mqtts), the network, and "
       "where the url says mqtts the certificates, or tls.psk_file and tls.psk_identity");
}

}  // namespace smartmeterctl
