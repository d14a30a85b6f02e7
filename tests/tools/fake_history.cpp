// SPDX-License-Identifier: Apache-2.0
// A service that answers Meter.History of dbus/org.smartmeterd1.xml from quarter hours in a file,
// and says on standard output what it was asked: fake_history ADDRESS FILE [ERROR [TIMES]]
// Lines of the file: "meter ID MEDIUM [NAME]", then its rows: "SECONDS NAME=VALUE …".
#include <systemd/sd-bus.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <list>
#include <map>
#include <sstream>
#include <string>

#include "tests/tools/fake_service.hpp"

namespace {

constexpr const char* interface = "org.smartmeterd1.Meter";
constexpr std::int64_t quarter_s = 900;
constexpr std::size_t rows_max = 10'000;
const char* refusal = nullptr;
int refusals_left = INT_MAX;

using Values = std::map<std::string, double>;
struct Meter {
  std::string id, medium, name, path;
  std::map<std::int64_t, Values> quarters;
};
std::list<Meter> meters;

bool is_of(const std::string& name, const char* suffix) {
  return name.size() > std::strlen(suffix) && name.ends_with(suffix);
}
bool is_register(const std::string& name) {
  return name != "telegrams" && !is_of(name, "_min") && !is_of(name, "_mean") &&
         !is_of(name, "_max");
}

/// Where the row begins that this quarter hour is in.
std::int64_t row_of(std::int64_t at, std::int64_t from, std::uint32_t step,
                    const std::string& period) {
  if (period.empty()) return from + (at - from) / step * step;
  const time_t seconds = at;
  tm local{};
  localtime_r(&seconds, &local);
  local.tm_hour = local.tm_min = local.tm_sec = 0;
  local.tm_isdst = -1;
  if (period == "week") local.tm_mday -= (local.tm_wday + 6) % 7;
  if (period == "month") local.tm_mday = 1;
  return mktime(&local);
}

void add(Values& row, const std::string& name, double value, double weight) {
  const auto [at, is_new] = row.emplace(name, value);
  if (is_new) return;
  if (is_of(name, "_min"))
    at->second = std::min(at->second, value);
  else if (is_of(name, "_max"))
    at->second = std::max(at->second, value);
  else if (is_of(name, "_mean"))
    at->second += (value - at->second) * weight / (row["telegrams"] + weight);
  else if (is_register(name))
    at->second = value;
}

std::map<std::int64_t, Values> rows_of(const Meter& meter, std::int64_t from, std::int64_t to,
                                       std::uint32_t step, const std::string& period) {
  std::map<std::int64_t, Values> rows;
  std::map<std::string, double> before;  // of each register
  std::map<std::int64_t, std::map<std::string, double>> at_begin;
  for (const auto& [at, values] : meter.quarters) {
    const bool is_earlier =
        at < from && row_of(at, from, step, period) < row_of(from, from, step, period);
    if (!is_earlier && !(at < from && period.empty())) {
      const std::int64_t begin = row_of(at, from, step, period);
      if (begin >= to) break;
      at_begin.emplace(begin, before);
      const double weight = values.at("telegrams");
      for (const auto& [name, value] : values)
        if (name != "telegrams") add(rows[begin], name, value, weight);
      rows[begin]["telegrams"] += weight;
    }
    for (const auto& [name, value] : values)
      if (is_register(name)) before[name] = value;
  }
  for (auto& [begin, row] : rows)
    for (const auto& [name, value] : at_begin[begin])
      if (row.contains(name) && row[name] >= value) row[name + "_delta"] = row[name] - value;
  return rows;
}

int history(sd_bus_message* call, void* data, sd_bus_error* error) {
  const Meter& meter = *static_cast<const Meter*>(data);
  std::uint64_t from_us = 0, to_us = 0;
  std::uint32_t step = 0;
  std::string period, zone;
  sd_bus_message_read(call, "ttu", &from_us, &to_us, &step);
  sd_bus_message_enter_container(call, 'a', "{sv}");
  const char *key = nullptr, *text = nullptr;
  while (sd_bus_message_enter_container(call, 'e', "sv") > 0) {
    sd_bus_message_read(call, "s", &key);
    sd_bus_message_read(call, "v", "s", &text);
    (std::strcmp(key, "period") == 0 ? period : zone) = text;
    sd_bus_message_exit_container(call);
  }
  std::printf("%s %llu %llu %u %s %s\n", meter.id.c_str(),
              static_cast<unsigned long long>(from_us / 1'000'000),
              static_cast<unsigned long long>(to_us / 1'000'000), step,
              period.empty() ? "-" : period.c_str(), zone.empty() ? "-" : zone.c_str());
  std::fflush(stdout);
  if (refusal != nullptr && refusals_left-- > 0)
    return sd_bus_error_setf(error, refusal, "refused to look back");
  if (from_us >= to_us || step % quarter_s != 0 || (step != 0 && !period.empty()))
    return sd_bus_error_set(error, "org.smartmeterd1.Error.InvalidOption", "not to be answered");
  if (!zone.empty()) setenv("TZ", zone.c_str(), 1);
  tzset();
  const std::int64_t from = static_cast<std::int64_t>(from_us / 1'000'000) / quarter_s * quarter_s;
  const auto rows = rows_of(meter, from, static_cast<std::int64_t>(to_us / 1'000'000),
                            step == 0 ? quarter_s : step, period);
  if (rows.size() > rows_max)
    return sd_bus_error_set(error, "org.smartmeterd1.Error.LimitReached", "ask for less");
  sd_bus_message* reply = nullptr;
  if (sd_bus_message_new_method_return(call, &reply) < 0) return -ENOMEM;
  sd_bus_message_open_container(reply, 'a', "(ta{sd})");
  for (const auto& [begin, values] : rows) {
    sd_bus_message_open_container(reply, 'r', "ta{sd}");
    sd_bus_message_append(reply, "t", static_cast<std::uint64_t>(begin) * 1'000'000);
    sd_bus_message_open_container(reply, 'a', "{sd}");
    for (const auto& [name, value] : values)
      sd_bus_message_append(reply, "{sd}", name.c_str(), value);
    sd_bus_message_close_container(reply);
    sd_bus_message_close_container(reply);
  }
  sd_bus_message_close_container(reply);
  const int sent = sd_bus_send(nullptr, reply, nullptr);
  sd_bus_message_unref(reply);
  return sent;
}

int property(sd_bus*, const char*, const char*, const char* name, sd_bus_message* reply, void* data,
             sd_bus_error*) {
  const Meter& meter = *static_cast<const Meter*>(data);
  const std::string& text = std::strcmp(name, "Id") == 0     ? meter.id
                            : std::strcmp(name, "Name") == 0 ? meter.name
                                                             : meter.medium;
  return sd_bus_message_append(reply, "s", text.c_str());
}

const sd_bus_vtable members[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Id", "s", property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Name", "s", property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Medium", "s", property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_METHOD("History", "ttua{sv}", "a(ta{sd})", history, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

void read(const char* file) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first == "meter") {
      Meter& meter = meters.emplace_back();
      words >> meter.id >> meter.medium >> meter.name;
      meter.path = "/org/smartmeterd1/meter/m" + std::to_string(meters.size());
      continue;
    }
    Values& values = meters.back().quarters[std::stoll(first)];
    for (std::string word; words >> word;)
      values[word.substr(0, word.find('='))] = std::stod(word.substr(word.find('=') + 1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (argc > 3) refusal = argv[3];
  if (argc > 4) refusals_left = std::atoi(argv[4]);
  read(argv[2]);
  return serve(argv[1], "org.smartmeterd1", [](sd_bus* bus) {
    int added = sd_bus_add_object_manager(bus, nullptr, "/org/smartmeterd1");
    for (Meter& meter : meters)
      if (added >= 0)
        added =
            sd_bus_add_object_vtable(bus, nullptr, meter.path.c_str(), interface, members, &meter);
    return added;
  });
}
