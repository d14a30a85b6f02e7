// SPDX-License-Identifier: Apache-2.0
// How the verbs on the bus put values into words and into JSON.
#include "tools/smartmeterctl/text.hpp"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "meter/quantity.hpp"
#include "meter/unit.hpp"
#include "tools/smartmeterctl/style.hpp"

namespace smartmeterctl {
namespace {

/// A problem of an adapter: what it is, and what to do.
struct Problem {
  std::string_view name, words, advice;
};

constexpr std::array<Problem, 13> problems = {{
    {"none", "none", ""},
    {"port-busy", "another program has opened the port",
     "end it: \"sudo smartmeterctl doctor\" names it"},
    {"no-access", "no permission to open the port",
     "\"sudo smartmeterctl claim\" gives it to the service"},
    {"no-bytes", "the meter sends nothing: check the plug and that its interface is on",
     "check the plug and the cable, how an optical head sits, and that the operator has switched "
     "the customer interface on"},
    {"break", "the line is held down, or only zeros: check the wiring",
     "check the wiring and its polarity, and that the adapter is made for this interface: M-Bus "
     "needs an M-Bus slave, P1 an inverted input"},
    {"no-frame", "bytes, but no telegram: check speed and parity",
     "remove line = from the adapter's table, so that speed and parity are found, or set what the "
     "operator's document says: \"2400-8E1\" (M-Bus), \"9600-8N1\" (optical head), "
     "\"115200-8N1\" (P1); then \"sudo systemctl reload smartmeterd\""},
    {"bad-checksum", "telegrams arrive damaged: check contact and line settings",
     "check the cable, how an optical head sits, the adapter, and the parity in line ="},
    {"key-missing", "encrypted, and no key for this meter",
     "ask the operator for the key (GUEK, EK, GPK60: 32 hex digits), then \"sudo smartmeterctl "
     "key add house\""},
    {"key-wrong", "encrypted, and the key does not fit",
     "compare it with the operator's letter, and that the letter is for this meter: \"sudo "
     "smartmeterctl key remove house\", then \"sudo smartmeterctl key add house\""},
    {"authentication-key-wrong", "the authentication key does not fit",
     "correct it (GAK, AK, GPK61), or leave it out: \"sudo smartmeterctl key remove house\", then "
     "\"sudo smartmeterctl key add house\""},
    {"list-unknown", "decoded, but the list of values is not known",
     "nothing on this machine mends it: report the meter's model with a recording"},
    {"replay", "the invocation counter went back: an old recording, or a replaced meter",
     "if the meter was replaced or reset: accept_counter_reset = true in the [gateway] table of "
     "/etc/smartmeterd/smartmeterd.toml, then \"sudo systemctl reload smartmeterd\""},
    {"less-protected", "telegrams are less protected than this meter's were before",
     "if the operator has changed that: \"sudo systemctl reload smartmeterd\""},
}};

const Problem* find_problem(std::string_view name) {
  const auto found = std::ranges::find(problems, name, &Problem::name);
  return found == problems.end() ? nullptr : found;
}

bool present(const Value& value) {
  const double* number = std::get_if<double>(&value.held);
  return number == nullptr || std::isfinite(*number);
}

/// The shortest text that is this number; exact where the number came from a short decimal.
meter::Decimal decimal_of(double value) {
  if (const auto decimal = meter::Decimal::parse(fmt::format("{}", value))) return *decimal;
  return meter::Decimal::parse(fmt::format("{:.6f}", value)).value_or(meter::Decimal{});
}

}  // namespace

std::string number_text(double value) {
  char buffer[meter::Decimal::text_size_max];
  return std::string(decimal_of(value).to_text(buffer));
}

std::string_view unit_text(std::string_view name) {
  const meter::Quantity* quantity = meter::find_quantity(name);
  return quantity != nullptr ? meter::symbol(quantity->unit) : std::string_view{};
}

std::string fixed(double value, int decimals) {
  if (std::abs(value) >= 1e9) return fmt::format("{:.3g}", value);
  const std::string text = fmt::format("{:.{}f}", value, decimals);
  return text.find_first_not_of("-0.") == text.npos && text.front() == '-' ? text.substr(1) : text;
}

std::string value_text(const std::string& name, const Value& value) {
  const double* number = std::get_if<double>(&value.held);
  if (number == nullptr) return value.text();
  const std::string_view unit = unit_text(name);
  return unit.empty() ? number_text(*number) : fmt::format("{} {}", number_text(*number), unit);
}

std::optional<double> number_of(const Value& readings, const std::string& name) {
  const auto* number = std::get_if<double>(&readings[name].held);
  if (number == nullptr || !std::isfinite(*number)) return std::nullopt;
  return *number;
}

std::optional<double> net_power(const Value& readings) {
  const auto in = number_of(readings, "power_import"), out = number_of(readings, "power_export");
  if (in || out) return in.value_or(0) - out.value_or(0);
  for (const char* name : {"power_net", "power_abs", "power"})
    if (const auto number = number_of(readings, name)) return number;
  return std::nullopt;
}

std::vector<std::string> ordered_names(const Value& readings) {
  std::vector<std::string> names;
  for (const meter::Quantity& quantity : meter::quantities()) {
    const std::string name(quantity.name);
    if (readings.map().contains(name) && present(readings[name]) &&
        std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  }
  for (const auto& [name, value] : readings.map())
    if (meter::find_quantity(name) == nullptr && present(value)) names.push_back(name);
  return names;
}

std::string problem_text(const std::string& name) {
  const Problem* problem = find_problem(name);
  return problem != nullptr ? std::string(problem->words) : name;
}

std::string problem_advice(const std::string& name) {
  const Problem* problem = find_problem(name);
  return problem != nullptr ? std::string(problem->advice) : "";
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::uint64_t time_now_us() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(since).count());
}

std::int64_t age_s(std::uint64_t time_us) {
  return (static_cast<std::int64_t>(time_now_us()) - static_cast<std::int64_t>(time_us)) /
         1'000'000;
}

std::string age_text(std::uint64_t time_us) {
  return age_text(time_us, time_now_us());
}

std::string age_text(std::uint64_t time_us, std::uint64_t now_us) {
  if (time_us == 0) return "never";
  const std::uint64_t seconds = (now_us - std::min(time_us, now_us)) / 1'000'000;
  if (seconds < 120) return fmt::format("{} s ago", seconds);
  if (seconds < 7200) return fmt::format("{} min ago", seconds / 60);
  if (seconds < 172'800) return fmt::format("{} h ago", seconds / 3600);
  return fmt::format("{} days ago", seconds / 86'400);
}

std::string clock_text(std::uint64_t time_us) {
  const auto seconds = static_cast<std::time_t>(time_us / 1'000'000);
  std::tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

bool StatusLine::is_rewritten() {
  return isatty(STDERR_FILENO) != 0;
}

void StatusLine::show(const std::string& text) {
  if (text == shown_) return;
  shown_ = text;
  if (!is_rewritten()) return fmt::print(stderr, "{}\n", safe(text));
  winsize window{};
  const bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1;
  // Of a line that wraps only the end would be rewritten.
  const std::string line = is_known ? cut(text, window.ws_col - 1u) : safe(text);
  fmt::print(stderr, "\r{}\033[K", line);
  std::fflush(stderr);
}

void StatusLine::clear() {
  if (is_rewritten() && !shown_.empty()) fmt::print(stderr, "\r\033[K");
  shown_.clear();
}

bool is_plain_name(std::string_view text) {
  constexpr std::size_t size_max = 64;
  constexpr std::string_view allowed =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
  return !text.empty() && text.size() <= size_max &&
         text.find_first_not_of(allowed) == std::string_view::npos;
}

void write_value(meter::JsonWriter& json, const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value.held)) {
    json.text(*text);
  } else if (const auto* number = std::get_if<double>(&value.held)) {
    if (std::isfinite(*number))
      json.number(decimal_of(*number));
    else
      json.null();
  } else if (const auto* count = std::get_if<std::uint64_t>(&value.held)) {
    json.number(static_cast<std::int64_t>(*count));
  } else if (const auto* integer = std::get_if<std::int64_t>(&value.held)) {
    json.number(*integer);
  } else if (const auto* flag = std::get_if<bool>(&value.held)) {
    json.boolean(*flag);
  } else if (const auto* list = std::get_if<Value::List>(&value.held)) {
    json.begin_array();
    for (const Value& item : *list) write_value(json, item);
    json.end_array();
  } else if (const auto* map = std::get_if<Value::Map>(&value.held)) {
    json.begin_object();
    for (const auto& [key, item] : *map) write_value(json.key(key), item);
    json.end_object();
  } else {
    json.null();
  }
}

void write_readings(meter::JsonWriter& json, const Value& readings) {
  json.key("readings").begin_object();
  for (const std::string& name : ordered_names(readings))
    write_value(json.key(name), readings[name]);
  json.end_object();
}

void write_meter_facts(meter::JsonWriter& json, const Value& meter, std::uint64_t received_us,
                       std::uint64_t sequence) {
  const auto text_or_null = [&json](const char* key, const std::string& text) {
    json.key(key);
    if (text.empty())
      json.null();
    else
      json.text(text);
  };
  json.key("profile").text(meter::telegram_profile);
  text_or_null("meter", meter["Id"].text());
  text_or_null("time", meter["MeterTime"].text());
  std::array<char, 32> buffer;
  text_or_null("received", received_us == 0 ? std::string()
                                            : std::string(meter::utc_text(
                                                  static_cast<std::int64_t>(received_us), buffer)));
  if (sequence != 0) json.key("sequence").number(static_cast<std::int64_t>(sequence));
  text_or_null("link", meter["Link"].text());
  const std::string authenticated = meter["Authenticated"].text();
  json.key("authenticated");
  if (authenticated == "yes" || authenticated == "no")
    json.boolean(authenticated == "yes");
  else
    json.null();
}

}  // namespace smartmeterctl
