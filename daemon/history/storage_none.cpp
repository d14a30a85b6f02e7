// SPDX-License-Identifier: Apache-2.0
// Storage in a build without SQLite: keeps nothing and says so.
#include "daemon/history/storage.hpp"

namespace smartmeterd::history {

namespace {

class NoStorage final : public Storage {
 public:
  std::string problem() const override { return "built without SQLite: nothing is kept"; }
  std::vector<meter::dlms::ReplayBaseline> replay_baselines(std::string_view) override {
    return {};
  }
  void save_replay_baselines(std::string_view,
                             std::span<const meter::dlms::ReplayBaseline>) override {}
  std::size_t dropped() const noexcept override { return 0; }
};

}  // namespace

std::unique_ptr<Storage> Storage::open(const std::filesystem::path&, std::chrono::milliseconds) {
  return std::make_unique<NoStorage>();
}

}  // namespace smartmeterd::history
