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

void answer(const Call& call, Error error, const std::string& message) {
  sd_bus_reply_method_errorf(call.get(), name(error), "%s", message.c_str());
}

/// With what `write` puts into the message.
template <class Write>
void answer(const Call& call, Write write) {
  sd_bus_message* created = nullptr;
  if (sd_bus_message_new_method_return(call.get(), &created) < 0) return;
  const Message reply(created);
  Writer writer(created);
  write(writer);
  if (writer.error() == 0) sd_bus_send(nullptr, created, nullptr);
}

Error error_of(ProbeResult::Error error) noexcept {
  switch (error) {
    case ProbeResult::Error::in_progress:
      return Error::in_progress;
    case ProbeResult::Error::timeout:
      return Error::timeout;
    case ProbeResult::Error::not_supported:
      return Error::not_supported;
    case ProbeResult::Error::none:
    case ProbeResult::Error::no_data:
      break;
  }
  return Error::no_data;
}

void answer_probe(const Call& call, const ProbeResult& result) {
  if (result.error != ProbeResult::Error::none)
    return answer(call, error_of(result.error), result.message);
  const std::string meter = result.meter_id.empty() ? "/" : object_path("meter", result.meter_id);
  answer(call, [&](Writer& writer) {
    writer.open('a', "{sv}");
    writer.entry("line-settings", "s", std::string_view(result.line));
    writer.entry("protocol", "s", std::string_view(result.protocol));
    writer.entry("meter", "o", ObjectPath{meter}).close();
  });
}

/// Takes a place among `questions_max` until the last who may answer has let go.
struct PendingQuestion {
  PendingQuestion(Call of, std::shared_ptr<unsigned> all)
      : call(std::move(of)), questions(std::move(all)) {
    ++*questions;
  }
  ~PendingQuestion() { --*questions; }
  PendingQuestion(const PendingQuestion&) = delete;
  PendingQuestion& operator=(const PendingQuestion&) = delete;

  const Call call;
  const std::shared_ptr<unsigned> questions;
};

/// What is wrong with the arguments of History; empty: nothing.
std::string problem_of(std::uint64_t from_us, std::uint64_t to_us, std::uint32_t step_s,
                       std::string_view period) {
  if (from_us >= to_us)
    return fmt::format("\"from\" ({}) is not before \"to\" ({}): both are microseconds since the "
                       "epoch",
                       from_us, to_us);
  if (step_s % step_unit_s != 0)
    return fmt::format("\"step\" is {}, expected 0 or a multiple of {} seconds", step_s,
                       step_unit_s);
  if (period.empty()) return {};
  if (step_s != 0) return "\"step\" and option \"period\" exclude each other: set step to 0";
  if (std::ranges::find(periods, period) == periods.end())
    return fmt::format("option \"period\" is {}, expected \"{}\"", quoted(period),
                       fmt::join(periods, "\", \""));
  return {};
}

int read_question(sd_bus_message* call, HistoryQuestion& question, sd_bus_error* error) {
  std::uint64_t from_us = 0, to_us = 0;
  int r = sd_bus_message_read(call, "ttu", &from_us, &to_us, &question.step_s);
  std::string_view period, zone;
  if (r >= 0) r = read_options(call, {{"period", &period}, {"zone", &zone}}, error);
  if (r < 0) return r;
  if (const std::string problem = problem_of(from_us, to_us, question.step_s, period);
      !problem.empty())
    return refuse(error, Error::invalid_option, problem);
  question.from_us = static_cast<std::int64_t>(std::min(from_us, time_max_us));
  question.to_us = static_cast<std::int64_t>(std::min(to_us, time_max_us));
  question.period = period;
  question.zone = zone;
  return r;
}

Error error_of(HistoryAnswer::Error error) noexcept {
  switch (error) {
    case HistoryAnswer::Error::invalid_option:
      return Error::invalid_option;
    case HistoryAnswer::Error::limit_reached:
      return Error::limit_reached;
    case HistoryAnswer::Error::not_supported:
      return Error::not_supported;
    case HistoryAnswer::Error::none:
    case HistoryAnswer::Error::failed:
      break;
  }
  return Error::io_error;
}

void answer_history(const Call& call, const HistoryAnswer& history) {
  if (history.error != HistoryAnswer::Error::none)
    return answer(call, error_of(history.error), history.message);
  answer(call, [&](Writer& writer) {
    writer.open('a', "(ta{sd})");
    for (const HistoryRow& row : history.rows) {
      writer.open('r', "ta{sd}").put(epoch_us(row.start_us)).open('a', "{sd}");
      for (const auto& [key, value] : row.values)
        writer.open('e', "sd").put(std::string_view(key)).put(value).close();
      writer.close().close();
    }
    writer.close();
  });
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
                              quoted(id)));
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
    return refuse(error, Error::invalid_option,
                  fmt::format("option \"format\" is {}, expected \"raw\" or \"capture\"",
                              quoted(format)));
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
  const Service& service = *static_cast<const Served<Meter>*>(userdata)->service;
  if (!service.options.history)
    return refuse(error, Error::not_supported, "this service keeps no history");
  HistoryQuestion question{.meter_id = object_of<Meter>(userdata).id};
  if (const int r = read_question(call, question, error); r < 0) return r;
  if (*service.questions == questions_max)
    return refuse(error, Error::limit_reached,
                  fmt::format("{} questions to the history are being answered: ask again when one "
                              "of them is",
                              questions_max));
  const auto pending = std::make_shared<PendingQuestion>(keep(call), service.questions);
  service.options.history(std::move(question), [pending](const HistoryAnswer& answer) {
    answer_history(pending->call, answer);
  });
  return 1;
}

}  // namespace smartmeterd::bus
