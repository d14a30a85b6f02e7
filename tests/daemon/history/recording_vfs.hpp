// SPDX-License-Identifier: Apache-2.0
// RecordingVfs: SQLite writes to the disk as ever, and what it did to it is written down. PowerCut:
// what a disk may hold after a power cut at any point of that.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace smartmeterd::history::test {

/// One call that changes a file.
struct DiskCall {
  enum class Kind { write, truncate, sync, remove } kind;
  std::string file;         ///< its name without the directory
  sqlite3_int64 at = 0;     ///< offset of a write, size after a truncation
  std::string octets = {};  ///< of a write
};

/// The default one of the process while it lives. One at a time.
class RecordingVfs {
 public:
  RecordingVfs() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
    self_ = this;
    vfs_.zName = "recording";
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.xOpen = [](sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
      return self_->open(name, *reinterpret_cast<File*>(file), flags, out);
    };
    vfs_.xDelete = [](sqlite3_vfs*, const char* name, int sync) {
      self_->record({DiskCall::Kind::remove, base_name(name)});
      return self_->real_->xDelete(self_->real_, name, sync);
    };
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~RecordingVfs() { sqlite3_vfs_unregister(&vfs_); }
  RecordingVfs(const RecordingVfs&) = delete;
  RecordingVfs& operator=(const RecordingVfs&) = delete;

  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return calls_.size();
  }
  /// When nobody writes any more.
  std::vector<DiskCall> take_calls() { return std::move(calls_); }

 private:
  struct File {
    sqlite3_file base;
    sqlite3_file* real;  ///< behind this one
    char name[64];
  };
  static std::string base_name(const char* name) {
    return name == nullptr ? "" : std::filesystem::path(name).filename().string();
  }
  static sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<File*>(file)->real; }
  static std::string name(sqlite3_file* file) { return reinterpret_cast<File*>(file)->name; }

  void record(DiskCall call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
  }
  int open(const char* name, File& file, int flags, int* out) {
    file.real = reinterpret_cast<sqlite3_file*>(&file + 1);
    file.name[base_name(name).copy(file.name, sizeof file.name - 1)] = '\0';
    const int done = real_->xOpen(real_, name, file.real, flags, out);
    file.base.pMethods = file.real->pMethods == nullptr ? nullptr : &methods;
    return done;
  }

  static inline RecordingVfs* self_ = nullptr;
  using Kind = DiskCall::Kind;
  // Version 2: the shared memory of the journal's index, and no file that is mapped.
  static inline const sqlite3_io_methods methods = {
      .iVersion = 2,
      .xClose = [](sqlite3_file* f) { return real(f)->pMethods->xClose(real(f)); },
      .xRead = [](sqlite3_file* f, void* to, int size,
                  sqlite3_int64 at) { return real(f)->pMethods->xRead(real(f), to, size, at); },
      .xWrite =
          [](sqlite3_file* f, const void* from, int size, sqlite3_int64 at) {
            self_->record(
                {Kind::write, name(f), at,
                 std::string(static_cast<const char*>(from), static_cast<std::size_t>(size))});
            return real(f)->pMethods->xWrite(real(f), from, size, at);
          },
      .xTruncate =
          [](sqlite3_file* f, sqlite3_int64 size) {
            self_->record({Kind::truncate, name(f), size});
            return real(f)->pMethods->xTruncate(real(f), size);
          },
      .xSync =
          [](sqlite3_file* f, int flags) {
            self_->record({Kind::sync, name(f)});
            return real(f)->pMethods->xSync(real(f), flags);
          },
      .xFileSize = [](sqlite3_file* f,
                      sqlite3_int64* size) { return real(f)->pMethods->xFileSize(real(f), size); },
      .xLock = [](sqlite3_file* f, int lock) { return real(f)->pMethods->xLock(real(f), lock); },
      .xUnlock = [](sqlite3_file* f,
                    int lock) { return real(f)->pMethods->xUnlock(real(f), lock); },
      .xCheckReservedLock =
          [](sqlite3_file* f, int* out) {
            return real(f)->pMethods->xCheckReservedLock(real(f), out);
          },
      .xFileControl =
          [](sqlite3_file* f, int operation, void* data) {
            return real(f)->pMethods->xFileControl(real(f), operation, data);
          },
      .xSectorSize = [](sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); },
      .xDeviceCharacteristics =
          [](sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); },
      .xShmMap =
          [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
            return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
          },
      .xShmLock = [](sqlite3_file* f, int offset, int n,
                     int flags) { return real(f)->pMethods->xShmLock(real(f), offset, n, flags); },
      .xShmBarrier = [](sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); },
      .xShmUnmap = [](sqlite3_file* f,
                      int remove) { return real(f)->pMethods->xShmUnmap(real(f), remove); },
      .xFetch = nullptr,
      .xUnfetch = nullptr};

  sqlite3_vfs* const real_;
  sqlite3_vfs vfs_;
  std::mutex mutex_;
  std::vector<DiskCall> calls_;
};

/// Takes the calls one after the other. What is synced is on the disk; of what is not, some parts
/// are, in any order, by sectors.
class PowerCut {
 public:
  explicit PowerCut(unsigned seed) : random_(seed) {}

  void take(const DiskCall& call) {
    File& file = files_[call.file];
    if (call.kind == DiskCall::Kind::remove) {
      files_.erase(call.file);
    } else if (call.kind == DiskCall::Kind::sync) {
      for (const DiskCall* pending : file.pending) apply(file.disk, *pending, 1);
      file.pending.clear();
    } else {
      file.pending.push_back(&call);
    }
  }
  /// Makes the directory what the disk might hold now.
  void cut(const std::filesystem::path& directory) {
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    // Nothing, everything, or anything between of what was not synced.
    const double share = std::min(1.0, 0.25 * static_cast<double>(random_() % 5));
    for (const auto& [name, file] : files_) {
      std::string disk = file.disk;
      for (const DiskCall* pending : file.pending) apply(disk, *pending, share);
      std::ofstream(directory / name, std::ios::binary) << disk;
    }
  }

 private:
  static constexpr std::size_t sector = 512;
  struct File {
    std::string disk;
    std::vector<const DiskCall*> pending;
  };

  void apply(std::string& disk, const DiskCall& call, double share) {
    const auto happens = [&] { return std::uniform_real_distribution()(random_) < share; };
    const auto at = static_cast<std::size_t>(call.at);
    if (call.kind == DiskCall::Kind::truncate) {
      if (happens()) disk.resize(at);
      return;
    }
    std::size_t done = 0;
    while (done < call.octets.size()) {
      const std::size_t size = std::min(call.octets.size() - done, sector - (at + done) % sector);
      if (happens()) {
        disk.resize(std::max(disk.size(), at + done + size));
        disk.replace(at + done, size, call.octets, done, size);
      }
      done += size;
    }
  }

  std::mt19937 random_;
  std::map<std::string, File> files_;
};

}  // namespace smartmeterd::history::test
