// SPDX-License-Identifier: Apache-2.0
// What watch knows: the objects as they were last told, and the telegrams since.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tools/smartmeterctl/text.hpp"
#include "tools/smartmeterctl/watch_view.hpp"

namespace smartmeterctl {

void PowerTrace::add(std::uint64_t time_us, const Value& readings) {
  const auto watts = net_power(readings);
  if (!watts) return;
  points_.push_back({time_us, *watts});
  while (points_.size() > points_max || points_.front().time_us + span_us < time_us)
    points_.pop_front();
}

std::vector<double> PowerTrace::means(std::size_t parts, std::uint64_t now_us,
                                      std::uint64_t hold_us) const {
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> means(parts, unknown);
  if (parts == 0) return means;
  // Parts begin at multiples of their width, so that values stay in their part as time goes on.
  const std::uint64_t width = std::max<std::uint64_t>(span_us / parts, 1);
  const std::uint64_t end = (now_us / width + 1) * width;
  auto next = points_.begin();
  const Point* before = nullptr;
  for (std::size_t i = 0; i < parts; ++i) {
    const std::uint64_t part_end = end - (parts - 1 - i) * width, part_start = part_end - width;
    double sum = 0, count = 0;
    for (; next != points_.end() && next->time_us < part_end; ++next) {
      before = &*next;
      if (next->time_us < part_start) continue;
      sum += next->watts;
      ++count;
    }
    if (count > 0)
      means[i] = sum / count;
    else if (before != nullptr && before->time_us + hold_us >= part_start)
      means[i] = before->watts;
  }
  return means;
}

bool WatchState::take(const ReadingSignal& signal) {
  traces[signal.path].add(signal.time_us, signal.values);
  const auto object = std::ranges::find(objects, signal.path, &Object::path);
  if (object == objects.end()) return false;
  auto* interfaces = std::get_if<Value::Map>(&object->interfaces.held);
  if (interfaces == nullptr || !interfaces->contains("org.smartmeterd1.Meter")) return false;
  auto* meter = std::get_if<Value::Map>(&(*interfaces)["org.smartmeterd1.Meter"].held);
  if (meter == nullptr) return false;
  (*meter)["LastUpdate"].held = signal.time_us;
  Value& readings = (*meter)["Readings"];
  if (!std::holds_alternative<Value::Map>(readings.held)) readings.held = Value::Map{};
  for (const auto& [name, value] : signal.values.map())
    std::get<Value::Map>(readings.held).insert_or_assign(name, value);
  return true;
}

std::vector<std::string> WatchState::entries() const {
  if (!only.empty()) return {only};
  std::vector<std::string> paths, used;
  for (const Object* meter : meters_behind(objects)) {
    paths.push_back(meter->path);
    used.push_back(meter->meter()["Adapter"].text());
  }
  std::ranges::sort(used);
  for (const Object& object : objects)
    if (!object.adapter().map().empty() && !std::ranges::binary_search(used, object.path))
      paths.push_back(object.path);
  return paths;
}

std::size_t WatchState::chosen_place() const {
  const auto paths = entries();
  const auto found = std::ranges::find(paths, chosen);
  return found == paths.end() ? 0 : static_cast<std::size_t>(found - paths.begin());
}

void WatchState::move(std::ptrdiff_t places) {
  const auto paths = entries();
  if (paths.empty()) return;
  const auto last = static_cast<std::ptrdiff_t>(paths.size()) - 1;
  const auto place = static_cast<std::ptrdiff_t>(chosen_place());
  chosen = paths[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(place + places, 0, last))];
}

void WatchState::move_around() {
  const auto paths = entries();
  if (!paths.empty()) chosen = paths[(chosen_place() + 1) % paths.size()];
}

}  // namespace smartmeterctl
