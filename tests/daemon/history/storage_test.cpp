// SPDX-License-Identifier: Apache-2.0
// Storage: baselines survive kill -9, damage and unwritable places, and never go back.
#include "daemon/history/storage.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iostream>
#include <random>
#include <thread>

#include "tests/daemon/history/other_program.hpp"

namespace smartmeterd::history {
namespace {

using namespace std::chrono_literals;
using meter::dlms::ReplayBaseline;

ReplayBaseline baseline(unsigned title, std::uint32_t counter) {
  ReplayBaseline result;
  result.system_title.fill(static_cast<std::byte>(title));
  result.key_fingerprint.fill(std::byte{0xab});
  result.invocation_counter = counter;
  return result;
}

class StorageTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "storage-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::vector<ReplayBaseline> stored(std::string_view adapter) const {
    return Storage::open(directory_)->replay_baselines(adapter);
  }
  void damage(std::streamoff from, const std::string& octets) const {
    std::fstream file(directory_ / "state.db", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(from);
    file << octets;
  }
  std::filesystem::path directory_;
};

TEST_F(StorageTest, KeepsBaselinesPerAdapter) {
  {
    const auto storage = Storage::open(directory_);
    EXPECT_EQ(storage->problem(), "");
    EXPECT_TRUE(storage->replay_baselines("a").empty());
    const std::vector<ReplayBaseline> first = {baseline(1, 10), baseline(2, 0xffffffff)};
    const std::vector<ReplayBaseline> second = {baseline(1, 99)};
    storage->save_replay_baselines("a", first);
    storage->save_replay_baselines("b", second);
  }
  EXPECT_EQ(stored("a"), (std::vector{baseline(1, 10), baseline(2, 0xffffffff)}));
  EXPECT_EQ(stored("b"), std::vector{baseline(1, 99)});
  EXPECT_TRUE(stored("c").empty());
}

TEST_F(StorageTest, TheNewestOfTheQueueIsWritten) {
  {
    const auto storage = Storage::open(directory_);
    for (std::uint32_t counter = 1; counter <= 1000; ++counter) {
      const std::vector<ReplayBaseline> now = {baseline(1, counter)};
      storage->save_replay_baselines("a", now);
    }
    EXPECT_EQ(storage->dropped(), 0u);
  }
  EXPECT_EQ(stored("a"), std::vector{baseline(1, 1000)});
}

TEST_F(StorageTest, ABaselineNeverGoesBack) {
  for (const std::uint32_t counter : {50u, 40u}) {
    const auto storage = Storage::open(directory_);
    const std::vector<ReplayBaseline> now = {baseline(1, counter)};
    storage->save_replay_baselines("a", now);
  }
  EXPECT_EQ(stored("a"), std::vector{baseline(1, 50)});
}

TEST_F(StorageTest, AFullQueueCounts) {
  const auto storage = Storage::open(directory_, 1h);
  const std::vector<ReplayBaseline> now = {baseline(1, 1)};
  // Adapters that were written wait for their time, so that the queue fills.
  for (int round = 0; round < 2; ++round)
    for (int adapter = 0; adapter < 6000; ++adapter)
      storage->save_replay_baselines(std::to_string(adapter), now);
  while (storage->dropped() == 0) {
    for (int adapter = 0; adapter < 6000; ++adapter)
      storage->save_replay_baselines(std::to_string(adapter), now);
  }
  EXPECT_GT(storage->dropped(), 0u);
}

TEST_F(StorageTest, SurvivesKill) {
  std::mt19937 random(20);
  std::uint32_t seen = 0;
  // A busy machine may need more time than the first rounds give for a first write.
  for (int round = 0; round < 20 || (seen == 0 && round < 100); ++round) {
    const pid_t child = fork();
    if (child == 0) {
      const auto storage = Storage::open(directory_, 0ms);
      for (std::uint32_t counter = seen + 1;; ++counter) {
        const std::vector<ReplayBaseline> now = {baseline(1, counter), baseline(2, counter)};
        storage->save_replay_baselines("a", now);
        std::this_thread::sleep_for(20us);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000) * (1 + round / 20));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const auto storage = Storage::open(directory_);
    ASSERT_EQ(storage->problem(), "");
    const auto now = storage->replay_baselines("a");
    if (now.empty() && seen == 0) continue;  // killed before its first write
    ASSERT_EQ(now.size(), 2u);
    EXPECT_EQ(now[0].invocation_counter, now[1].invocation_counter) << "half a transaction";
    EXPECT_GE(now[0].invocation_counter, seen);
    seen = now[0].invocation_counter;
  }
  EXPECT_GT(seen, 0u);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

TEST_F(StorageTest, AFileThatIsNoDatabaseIsMovedAside) {
  for (const int n : {1, 2}) {
    std::ofstream(directory_ / "state.db") << std::string(10'000, 'x');
    const auto storage = Storage::open(directory_);
    EXPECT_EQ(storage->problem(), "");
    EXPECT_TRUE(std::filesystem::exists(directory_ / ("state.db.corrupt-" + std::to_string(n))));
    const std::vector<ReplayBaseline> now = {baseline(1, 7)};
    storage->save_replay_baselines("a", now);
  }
  EXPECT_EQ(stored("a"), std::vector{baseline(1, 7)});
}

TEST_F(StorageTest, ADamagedPageIsMovedAside) {
  {
    const auto storage = Storage::open(directory_);
    for (int i = 0; i < 200; ++i) {
      const std::vector<ReplayBaseline> now = {baseline(1, 7), baseline(2, 8)};
      storage->save_replay_baselines("adapter-" + std::to_string(i), now);
    }
  }
  damage(4096, std::string(4096, '\xff'));
  const auto storage = Storage::open(directory_);
  EXPECT_EQ(storage->problem(), "");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

TEST_F(StorageTest, ACutFileIsMovedAside) {
  {
    const auto storage = Storage::open(directory_);
  }
  std::filesystem::resize_file(directory_ / "state.db", 1000);
  EXPECT_EQ(Storage::open(directory_)->problem(), "");
}

TEST_F(StorageTest, AnEmptyFileIsANewDatabase) {
  std::ofstream(directory_ / "state.db").flush();
  EXPECT_EQ(Storage::open(directory_)->problem(), "");
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

TEST_F(StorageTest, AUselessDirectoryIsAProblemAndNoMore) {
  std::ofstream(directory_ / "file") << "x";
  const auto storage = Storage::open(directory_ / "file" / "below");
  EXPECT_NE(storage->problem(), "");
  const std::vector<ReplayBaseline> now = {baseline(1, 7)};
  storage->save_replay_baselines("a", now);
  EXPECT_EQ(storage->replay_baselines("a"), now) << "for this run";
}

TEST_F(StorageTest, WhatALockedFileHoldsIsKnownLater) {
  {
    const auto storage = Storage::open(directory_);
    const std::vector before = {baseline(1, 7), baseline(2, 7), baseline(3, 7)};
    storage->save_replay_baselines("a", before);
    storage->save_line_settings("a", "2400-8E1");
    storage->save_line_settings("b", "9600-8N1");
  }
  OtherProgram other(directory_ / "state.db");
  other.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
  {
    const auto storage = Storage::open(directory_);
    EXPECT_EQ(storage->line_settings("a"), "");
    const std::vector meanwhile = {baseline(1, 8), baseline(2, 6)};
    storage->save_replay_baselines("a", meanwhile);
    storage->save_line_settings("b", "115200-8N1");
    other.close();
    while (!storage->problem().empty()) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(storage->line_settings("a"), "2400-8E1");
    EXPECT_EQ(storage->line_settings("b"), "115200-8N1");
    EXPECT_EQ(storage->replay_baselines("a"),
              (std::vector{baseline(1, 8), baseline(2, 7), baseline(3, 7)}));
  }
  EXPECT_EQ(stored("a"), (std::vector{baseline(1, 8), baseline(2, 7), baseline(3, 7)}));
  EXPECT_EQ(Storage::open(directory_)->line_settings("b"), "115200-8N1");
}

TEST_F(StorageTest, ANewerVersionsFileIsLeftAlone) {
  {
    const auto storage = Storage::open(directory_);
    const std::vector<ReplayBaseline> now = {baseline(1, 7)};
    storage->save_replay_baselines("a", now);
  }
  // user_version: offset 60 of the header, big-endian (sqlite.org/fileformat2.html section 1.3).
  damage(60, std::string("\x00\x00\x00\x63", 4));
  EXPECT_NE(Storage::open(directory_)->problem().find("newer version"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
  damage(60, std::string("\x00\x00\x00\x04", 4));
  EXPECT_EQ(stored("a"), std::vector{baseline(1, 7)});
}

TEST_F(StorageTest, KeepsLineSettingsPerAdapter) {
  {
    const auto storage = Storage::open(directory_);
    EXPECT_EQ(storage->line_settings("a"), "");
    storage->save_line_settings("a", "2400-8E1");
    storage->save_line_settings("b", "9600-8N1");
    const std::vector now = {baseline(1, 7)};
    storage->save_replay_baselines("a", now);
    EXPECT_EQ(storage->line_settings("a"), "2400-8E1") << "for this run";
  }
  {
    const auto storage = Storage::open(directory_);
    EXPECT_EQ(storage->line_settings("a"), "2400-8E1");
    EXPECT_EQ(storage->replay_baselines("a"), std::vector{baseline(1, 7)});
    storage->save_line_settings("a", "115200-8N1");
  }
  const auto storage = Storage::open(directory_);
  EXPECT_EQ(storage->line_settings("a"), "115200-8N1");
  EXPECT_EQ(storage->line_settings("b"), "9600-8N1");
  EXPECT_EQ(storage->replay_baselines("a"), std::vector{baseline(1, 7)});
}

TEST_F(StorageTest, AnOlderVersionsFileIsBroughtUp) {
  {
    sqlite3* database = nullptr;  // as version 1 made it
    ASSERT_EQ(sqlite3_open((directory_ / "state.db").c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database,
                           "CREATE TABLE replay_baseline (adapter TEXT NOT NULL,"
                           " system_title BLOB NOT NULL, key_fingerprint BLOB NOT NULL,"
                           " invocation_counter INTEGER NOT NULL,"
                           " PRIMARY KEY (adapter, system_title, key_fingerprint)) WITHOUT ROWID;"
                           "INSERT INTO replay_baseline VALUES"
                           " ('a', x'0101010101010101', x'abababab', 7);"
                           "PRAGMA user_version = 1;",
                           nullptr, nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(database);
  }
  for (int round = 0; round < 2; ++round) {
    const auto storage = Storage::open(directory_);
    EXPECT_EQ(storage->problem(), "");
    EXPECT_EQ(storage->replay_baselines("a"), std::vector{baseline(1, 7)});
    EXPECT_EQ(storage->line_settings("a"), round == 0 ? "" : "2400-8E1");
    storage->save_line_settings("a", "2400-8E1");
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.db.corrupt-1"));
}

TEST_F(StorageTest, WhatWasSavedIsThereBeforeItIsWritten) {
  auto storage = Storage::open(directory_);
  const std::vector now = {baseline(1, 7)};
  storage->save_replay_baselines("a", now);
  EXPECT_EQ(storage->replay_baselines("a"), now);
}

}  // namespace
}  // namespace smartmeterd::history
