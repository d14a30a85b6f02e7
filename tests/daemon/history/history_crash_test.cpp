// SPDX-License-Identifier: Apache-2.0
// History: a small writer with a clock of its own is killed at random points, 200 times; and the
// power is cut at each of its writes. Each time the file is whole, what was committed is there, and
// no quarter hour is there by half.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "daemon/history/recorder.hpp"
#include "daemon/history/storage.hpp"
#include "tests/daemon/fake_kernel.hpp"
#include "tests/daemon/history/recording_vfs.hpp"
#include "tests/daemon/history/rows.hpp"

namespace smartmeterd::history {
namespace {

using namespace std::chrono_literals;

constexpr int rounds = 200;
constexpr int meters = 4;
constexpr int telegrams = 3;
/// So few days that the oldest leave in almost every transaction.
constexpr unsigned days = 1;
const std::int64_t epoch_s = utc("2026-11-27 00:00");

/// In quarter hours since then.
struct Progress {
  std::atomic<std::int64_t> ended;
  std::atomic<std::int64_t> committed;
};

/// What a meter's register shows after the last telegram of a quarter hour.
std::int64_t energy(std::int64_t quarter, int meter) {
  return 1000 + quarter * 7 + meter;
}

/// Quarter hour after quarter hour of all meters, from `next` on, until it is killed.
[[noreturn]] void write(const std::filesystem::path& directory, std::int64_t next,
                        Progress& progress) {
  const auto storage = Storage::open(directory, 1ms, 0ms);
  History& history = *storage->history();
  smartmeterd::test::FakeLoop loop;
  Recorder recorder(loop, history);
  recorder.configure({.days = days});
  loop.set_realtime((epoch_s + next * quarter_s) * 1'000'000);
  const meter::QuantityMap quantities;
  const meter::ReadingSet registers;
  std::uint64_t rows = 0;
  for (std::int64_t quarter = next;; ++quarter) {
    for (int telegram = 1; telegram <= telegrams; ++telegram) {
      for (int i = 0; i < meters; ++i) {
        Meter meter;
        meter.id = fmt::format("meter-{}", i);
        const std::string value = std::to_string(energy(quarter, i) - telegrams + telegram);
        const std::string power = std::to_string(telegram * 100);
        const auto named =
            readings({{"energy_import", value}, {"power_import", power, meter::Unit::watt}});
        recorder.telegram({meter, registers, named, quantities, {}});
      }
      loop.pass(300s);
    }
    progress.ended = quarter;
    rows += meters;
    while (history.written() < rows) std::this_thread::sleep_for(20us);
    progress.committed = quarter;
  }
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& file) {
    EXPECT_EQ(sqlite3_open_v2(file.c_str(), &database_, SQLITE_OPEN_READWRITE, nullptr), SQLITE_OK);
    sqlite3_exec(database_, "PRAGMA synchronous = OFF", nullptr, nullptr,
                 nullptr);  // it only looks
  }
  ~Reader() { sqlite3_close(database_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  template <class Row>
  void each(const char* question, Row row) {
    sqlite3_stmt* statement = nullptr;
    ASSERT_EQ(sqlite3_prepare_v2(database_, question, -1, &statement, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database_);
    int step = SQLITE_DONE;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) row(statement);
    EXPECT_EQ(step, SQLITE_DONE) << sqlite3_errmsg(database_);
    sqlite3_finalize(statement);
  }
  std::string text(const char* question) {
    std::string text;
    each(question, [&](sqlite3_stmt* statement) {
      text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    });
    return text;
  }

 private:
  sqlite3* database_ = nullptr;
};

/// Every quarter hour that there is is whole, and none is missing between the oldest and the
/// newest; which that is. −1: there is none.
std::int64_t check(const std::filesystem::path& file) {
  Reader reader(file);
  EXPECT_EQ(reader.text("PRAGMA integrity_check"), "ok");
  if (reader.text("SELECT count(*) FROM sqlite_schema WHERE name = 'history'") == "0") return -1;
  std::int64_t count = 0;
  std::int64_t newest = -1;
  reader.each(
      "SELECT history.start, telegrams, payload, history_meter.meter FROM history"
      " JOIN history_meter ON id = history.meter ORDER BY history.start, history_meter.meter",
      [&](sqlite3_stmt* row) {
        const std::int64_t quarter = (sqlite3_column_int64(row, 0) - epoch_s) / quarter_s;
        const int meter = static_cast<int>(count % meters);
        if (count > 0 && meter == 0) {
          EXPECT_EQ(quarter, newest + 1);
        } else if (count > 0) {
          EXPECT_EQ(quarter, newest);
        }
        newest = quarter;
        EXPECT_EQ(sqlite3_column_int(row, 1), telegrams);
        EXPECT_EQ(reinterpret_cast<const char*>(sqlite3_column_text(row, 2)),
                  fmt::format("[{},[100,300,600,3]]", energy(quarter, meter)));
        EXPECT_EQ(reinterpret_cast<const char*>(sqlite3_column_text(row, 3)),
                  fmt::format("meter-{}", meter));
        ++count;
      });
  EXPECT_EQ(count % meters, 0) << "half a quarter hour";
  EXPECT_EQ(count / meters, std::min<std::int64_t>(newest + 1, days * 96)) << "what had to stay";
  return newest;
}

TEST(HistoryCrash, KilledAtAnyPointItLosesTheRunningQuarterHourAlone) {
  std::string name = (std::filesystem::temp_directory_path() / "history-XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  const std::filesystem::path directory = name;
  auto* progress = static_cast<Progress*>(
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(progress, MAP_FAILED);
  progress->ended = progress->committed = -1;
  std::mt19937 random(6);
  std::int64_t newest = -1;
  int grown = 0;
  // A busy machine may need more rounds, and more time in each, until the oldest leave.
  for (int round = 0; round < rounds || (newest <= 2 * 96 && round < 5 * rounds); ++round) {
    const pid_t child = fork();
    if (child == 0) write(directory, newest + 1, *progress);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000) *
                                (1 + round / rounds));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    if (!std::filesystem::exists(directory / "state.db")) continue;
    const std::int64_t now = check(directory / "state.db");
    EXPECT_GE(now, progress->committed) << "was committed";
    EXPECT_LE(now, progress->ended + 1) << "was not over";
    EXPECT_GE(now, newest) << "went back";
    if (now > newest) ++grown;
    newest = now;
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  EXPECT_GT(grown, rounds / 20);
  EXPECT_GT(newest, 2 * 96) << "the oldest had to leave";
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    EXPECT_EQ(entry.path().string().find("corrupt"), std::string::npos) << entry.path();
  munmap(progress, sizeof(Progress));
  std::filesystem::remove_all(directory);
}

/// The rows of all meters, as `write` makes them.
std::vector<QuarterHour> all_meters(std::int64_t number) {
  std::vector<QuarterHour> rows;
  for (int i = 0; i < meters; ++i) {
    QuarterHour& row = rows.emplace_back();
    row.meter = fmt::format("meter-{}", i);
    row.start_s = epoch_s + number * quarter_s;
    const std::string value = std::to_string(energy(number, i));
    for (int telegram = 1; telegram <= telegrams; ++telegram) {
      const std::string power = std::to_string(telegram * 100);
      row.take(readings({{"energy_import", value}, {"power_import", power, meter::Unit::watt}}));
    }
  }
  return rows;
}

/// At each call that changes a file the power is cut: what was synced is there, the rest in part.
TEST(HistoryCrash, APowerCutAtAnyWriteLosesWhatWasNotCommitted) {
  std::string name = (std::filesystem::temp_directory_path() / "history-XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  const std::filesystem::path directory = name;
  // Until the journal was written back into the file and begun anew.
  constexpr std::int64_t quarters = 420;
  std::vector<test::DiskCall> calls;
  std::vector<std::size_t> committed;  // calls until then, by quarter hour
  {
    test::RecordingVfs disk;
    auto storage = Storage::open(directory / "real", 0ms, 0ms);
    storage->history()->configure({.days = days});
    for (std::int64_t number = 0; number < quarters; ++number) {
      // What is not synced at once shares the journal.
      storage->save_line_settings("adapter", std::to_string(number));
      storage->history()->append(all_meters(number));
      while (storage->history()->written() < static_cast<std::uint64_t>((number + 1) * meters))
        std::this_thread::sleep_for(20us);
      committed.push_back(disk.count());
    }
    storage.reset();
    calls = disk.take_calls();
  }
  const auto is_of_the_file = [](const test::DiskCall& call) {
    return call.file == "state.db" && call.kind == test::DiskCall::Kind::write;
  };
  EXPECT_GT(std::ranges::count_if(calls, is_of_the_file), 20) << "nothing was written back";
  test::PowerCut cut(7);
  std::int64_t newest = -1;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    cut.take(calls[i]);
    while (newest + 1 < quarters && committed[static_cast<std::size_t>(newest + 1)] <= i + 1)
      ++newest;
    cut.cut(directory / "cut");
    // The service's own eyes cost a few syncs each time.
    if (i % 16 == 0) {
      ASSERT_EQ(Storage::open(directory / "cut")->problem(), "") << "call " << i;
    }
    if (!std::filesystem::exists(directory / "cut" / "state.db")) continue;
    const std::int64_t found = check(directory / "cut" / "state.db");
    ASSERT_GE(found, newest) << "call " << i << " of " << calls.size();
    ASSERT_FALSE(std::filesystem::exists(directory / "cut" / "state.db.corrupt-1")) << i;
    ASSERT_FALSE(HasFailure()) << "call " << i;
  }
  EXPECT_EQ(newest, quarters - 1);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace smartmeterd::history
