// SPDX-License-Identifier: Apache-2.0
// Storage in a build without SQLite: keeps nothing beyond this run and says so.
#include "daemon/history/storage.hpp"

#include <map>

#include "daemon/log.hpp"

namespace smartmeterd::history {

namespace {

using Baselines = std::vector<meter::dlms::ReplayBaseline>;

class NoStorage final : public Storage {
 public:
  std::string problem() const override { return "built without SQLite: nothing outlives this run"; }
  Baselines replay_baselines(std::string_view adapter) override {
    const auto found = newest_.find(adapter);
    return found == newest_.end() ? Baselines() : found->second;
  }
  void save_replay_baselines(std::string_view adapter,
                             std::span<const meter::dlms::ReplayBaseline> baselines) override {
    newest_.insert_or_assign(std::string(adapter), Baselines(baselines.begin(), baselines.end()));
  }
  std::string line_settings(std::string_view adapter) override {
    const auto found = lines_.find(adapter);
    return found == lines_.end() ? std::string() : found->second;
  }
  void save_line_settings(std::string_view adapter, std::string_view line) override {
    lines_.insert_or_assign(std::string(adapter), std::string(line));
  }
  Backlog* backlog(std::string_view, std::size_t) override { return nullptr; }
  History* history() override { return nullptr; }
  std::size_t dropped() const noexcept override { return 0; }

 private:
  std::map<std::string, Baselines, std::less<>> newest_;
  std::map<std::string, std::string, std::less<>> lines_;
};

}  // namespace

std::unique_ptr<Storage> Storage::open(const std::filesystem::path&, std::chrono::milliseconds,
                                       std::chrono::milliseconds) {
  auto storage = std::make_unique<NoStorage>();
  log::warning("{}", storage->problem());
  return storage;
}

bool Storage::is_built_in() noexcept {
  return false;
}

}  // namespace smartmeterd::history
