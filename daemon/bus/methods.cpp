// SPDX-License-Identifier: Apache-2.0
// Methods: each checks what the caller sent, hands it on, and answers at once or later.
#include "daemon/bus/methods.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "daemon/bus/connection.hpp"
#include "daemon/bus/error.hpp"
#include "daemon/bus/interfaces.hpp"
#include "daemon/bus/options.hpp"
#include "daemon/bus/writer.hpp"

namespace smartmeterd::bus {
namespace {

constexpr std::uint32_t probe_timeout_default_ms = 60'000;
constexpr std::uint32_t probe_timeout_max_ms = 3'600'000;

/// A quarter hour: rows of the history are so long, or a multiple of it.
constexpr std::uint32_t step_unit_s = 900;
/// The end of the year 9999: nothing is later, and arithmetic with it does not overflow.
constexpr std::uint64_t time_max_us = 253'402'300'799'999'999;
constexpr std::array<std::string_view, 3> periods = {"day", "week", "month"};

/// A call that is answered later. The caller, or the bus, may be gone by then: nobody hears it.
using Call = std::shared_ptr<sd_bus_message>;

Call keep(sd_bus_message* call) {
  return {sd_bus_message_ref(call), sd_bus_message_unref};
}

Error error_of(ProbeResult::Error error) noexcept {
  switch (error) {
    case ProbeResult::Error::in_progress:
      return Error::in_progress;
    case ProbeResult::Error::timeout:
      return Error::timeout;
    case ProbeResult::Error::no_adapter:
      return Error::no_such_adapter;
    case ProbeResult::Error::port_busy:
      return Error::port_busy;
    case ProbeResult::Error::no_access:
      return Error::not_authorized;
    case ProbeResult::Error::not_supported:
      return Error::not_supported;
    case ProbeResult::Error::none:
    case ProbeResult::Error::no_data:
      break;
  }
  return Error::no_data;
}

void answer_probe(const Call& call, const ProbeResult& result) {
  if (result.error != ProbeResult::Error::none) {
    sd_bus_reply_method_errorf(call.get(), name(error_of(result.error)), "%s",
                               result.message.c_str());
    return;
  }
  sd_bus_message* created = nullptr;
  if (sd_bus_message_new_method_return(call.get(), &created) < 0) return;
  const Message reply(created);
  Writer writer(created);
  writer.open('a', "{sv}");
  writer.entry("line-settings", "s", std::string_view(result.line));
  writer.entry("protocol", "s", std::string_view(result.protocol));
  writer.entry("meter", "o",
               ObjectPath{result.meter_id.empty() ? "/" : object_path("meter", result.meter_id)});
  if (writer.close().error() == 0) sd_bus_send(nullptr, created, nullptr);
}

/// What is wrong with the arguments of History; empty: nothing.
std::string problem_of(std::uint64_t from_us, std::uint64_t to_us, std::uint32_t step_s,
                       std::string_view period) {
  if (from_us >= to_us)
    return fmt::format(
        "\"from\" ({}) is not before \"to\" ({}): both are microseconds since the "
        "epoch",
        from_us, to_us);
  if (step_s % step_unit_s != 0)
    return fmt::format("\"step\" is {}, expected 0 or a multiple of {} seconds", step_s,
                       step_unit_s);
  if (period.empty()) return {};
  if (step_s != 0) return "\"step\" and option \"period\" exclude each other: set step to 0";
  if (std::ranges::find(periods, period) == periods.end())
    return fmt::format("option \"period\" is {}, expected \"{}\"", in_quotes(period),
                       fmt::join(periods, "\", \""));
  return {};
}

int read_question(sd_bus_message* call, HistoryQuestion& question, sd_bus_error* error) {
  std::uint64_t from_us = 0, to_us = 0;
  int r = sd_bus_message_read(call, "ttu", &from_us, &to_us, &question.step_s);
  std::string_view period, zone;
  if (r >= 0) r = read_options(call, {{"period", &period}, {"zone", &zone}}, error);
  if (r < 0) return r;
  from_us = std::min(from_us, time_max_us);
  to_us = std::min(to_us, time_max_us);
  if (const std::string problem = problem_of(from_us, to_us, question.step_s, period);
      !problem.empty())
    return refuse(error, Error::invalid_option, problem);
  question.from_us = static_cast<std::int64_t>(from_us);
  question.to_us = static_cast<std::int64_t>(to_us);
  question.period = period;
  question.zone = zone;
  return r;
}

}  // namespace

int reload(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
  const auto& service = object_of<Service>(userdata);
  const std::string problem = service.options.reload ? service.options.reload() : std::string();
  if (!problem.empty()) return refuse(error, Error::invalid_configuration, problem);
  return sd_bus_reply_method_return(call, "");
}

int get_meter(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
  const char* id = nullptr;
  if (const int r = sd_bus_message_read(call, "s", &id); r < 0) return r;
  const std::string path = object_of<Service>(userdata).find_meter(id);
  if (path.empty())
    return refuse(error, Error::no_such_meter,
                  fmt::format("there is no meter with the id {}: ids are case-sensitive, and "
                              "GetManagedObjects lists every meter",
                              in_quotes(id)));
  return sd_bus_reply_method_return(call, "o", path.c_str());
}

int probe(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
  AdapterControl* control = object_of<Adapter>(userdata).control;
  if (!control) return refuse(error, Error::not_supported, "this adapter cannot be probed");
  std::uint32_t timeout_ms = probe_timeout_default_ms;
  if (const int r = read_options(call, {{"timeout-ms", &timeout_ms}}, error); r < 0) return r;
  if (timeout_ms == 0 || timeout_ms > probe_timeout_max_ms)
    return refuse(error, Error::invalid_option,
                  fmt::format("option \"timeout-ms\" is {}, expected 1 to {}", timeout_ms,
                              probe_timeout_max_ms));
  control->probe(std::chrono::milliseconds(timeout_ms),
                 [kept = keep(call)](const ProbeResult& result) { answer_probe(kept, result); });
  return 1;  // answered, or to be answered
}

int open_capture(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
  AdapterControl* control = object_of<Adapter>(userdata).control;
  if (!control)
    return refuse(error, Error::not_supported,
                  "this adapter has no port: record its messages at their broker, with "
                  "mosquitto_sub");
  std::string_view format = "raw";
  if (const int r = read_options(call, {{"format", &format}}, error); r < 0) return r;
  const auto chosen =
      format == name(CaptureFormat::timed) ? CaptureFormat::timed : CaptureFormat::raw;
  if (format != name(chosen))
    return refuse(
        error, Error::invalid_option,
        fmt::format("option \"format\" is {}, expected \"raw\" or \"capture\"", in_quotes(format)));
  const auto stream = control->open_capture(chosen);
  if (!stream && stream.error() == EUSERS)
    return refuse(error, Error::limit_reached,
                  "there are as many captures of this adapter as there may be: end another one");
  if (!stream) return sd_bus_error_set_errno(error, stream.error());
  const int r = sd_bus_reply_method_return(call, "h", *stream);  // sends a duplicate
  ::close(*stream);
  return r;
}

int history(sd_bus_message* call, void* userdata, sd_bus_error* error) noexcept {
  Service& service = *static_cast<const Served<Meter>*>(userdata)->service;
  if (!service.options.history)
    return refuse(error, Error::not_supported, "this service keeps no history");
  HistoryQuestion question{.meter_id = object_of<Meter>(userdata).id};
  if (const int r = read_question(call, question, error); r < 0) return r;
  if (service.history.is_full())
    return refuse(error, Error::limit_reached,
                  fmt::format("{} questions to the history are being answered: ask again when one "
                              "of them is",
                              HistoryReplies::questions_max));
  service.history.add(call, std::move(question), service.options.history);
  return 1;  // answered, or to be answered
}

}  // namespace smartmeterd::bus
