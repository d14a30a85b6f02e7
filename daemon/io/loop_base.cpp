// SPDX-License-Identifier: Apache-2.0
// The iteration and the table of requests, the same for io_uring and epoll.
#include "daemon/io/loop_base.hpp"

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <exception>
#include <utility>

#include "daemon/log.hpp"

namespace smartmeterd::io {

namespace {

/// Calls foreign code: an exception ends here, because the other adapters' requests go on.
template <class Call>
void guarded(std::string_view what, Call&& call) noexcept {
  try {
    call();
  } catch (const std::exception& exception) {
    log::error("{}: {}", what, exception.what());
  } catch (...) {
    log::error("{}: unknown exception", what);
  }
}

std::uint32_t index_of(std::uint64_t id) noexcept {
  return static_cast<std::uint32_t>(id);
}

}  // namespace

LoopBase::LoopBase() {
  LoopBase::take_time();
}

void LoopBase::read(Operation& operation, int fd, std::span<std::byte> buffer,
                    std::shared_ptr<void> keep_alive) {
  const auto id = allocate(operation, Kind::read, fd);
  auto& request = *find(id);
  request.data = buffer.data();
  request.size = buffer.size();
  request.keep_alive = std::move(keep_alive);
  start(id, request);
}

void LoopBase::write(Operation& operation, int fd, std::span<const std::byte> buffer,
                     std::shared_ptr<void> keep_alive) {
  const auto id = allocate(operation, Kind::write, fd);
  auto& request = *find(id);
  request.data = const_cast<std::byte*>(buffer.data());  // only ever read through a write
  request.size = buffer.size();
  request.keep_alive = std::move(keep_alive);
  start(id, request);
}

void LoopBase::poll(Operation& operation, int fd, short events) {
  const auto id = allocate(operation, Kind::poll, fd);
  auto& request = *find(id);
  request.events = events;
  start(id, request);
}

void LoopBase::timer(Operation& operation, TimePoint deadline) {
  if (operation.pending()) detach(operation);
  const auto id = allocate(operation, Kind::timer, -1);
  auto& request = *find(id);
  // The kernel refuses negative times, and takes 0 for "no timer".
  request.deadline = std::max(deadline, TimePoint{Clock::duration{1}});
  start(id, request);
}

void LoopBase::cancel(Operation& operation) {
  if (auto* request = find(operation.slot_)) let_go(operation.slot_, *request);
}

void LoopBase::forget(Operation& operation) noexcept {
  if (running_ == &operation) running_ = nullptr;
  detach(operation);
}

void LoopBase::detach(Operation& operation) noexcept {
  const auto id = std::exchange(operation.slot_, 0);
  if (auto* request = find(id)) {
    request->operation = nullptr;
    let_go(id, *request);
  }
}

void LoopBase::let_go(std::uint64_t id, Request& request) {
  if (request.abandoned || request.done) return;
  request.abandoned = true;
  abandon(id, request);
}

void LoopBase::close(int fd) {
  if (fd < 0 || std::ranges::find(closing_, fd) != closing_.end()) return;
  closing_.push_back(fd);
  for (std::size_t index = 0; index < requests_.size(); ++index) {
    auto& request = requests_[index];
    if (request.in_use && request.fd == fd) let_go(id_of(index), request);
  }
  close_if_idle(fd);
}

void LoopBase::close_if_idle(int fd) {
  const auto entry = std::ranges::find(closing_, fd);
  if (entry == closing_.end()) return;
  if (std::ranges::any_of(
          requests_, [fd](const Request& request) { return request.in_use && request.fd == fd; }))
    return;
  closing_.erase(entry);
  ::close(fd);
}

int LoopBase::add_before_wait(std::function<void()> hook) {
  hooks_.push_back({next_hook_id_, false, std::move(hook)});
  return next_hook_id_++;
}

void LoopBase::remove_before_wait(int id) {
  const auto hook = std::ranges::find(hooks_, id, &Hook::id);
  if (hook == hooks_.end()) return;
  hook->removed = true;  // the hook may be running now: its closure must outlive the call
  if (!in_hooks_) hooks_.erase(hook);
}

void LoopBase::run_hooks() {
  in_hooks_ = true;
  for (std::size_t index = 0; index < hooks_.size(); ++index) {  // a hook may add another
    auto& hook = hooks_[index];
    if (!hook.removed) guarded("before_wait hook", hook.run);
  }
  in_hooks_ = false;
  std::erase_if(hooks_, [](const Hook& hook) { return hook.removed; });
}

void LoopBase::run() {
  while (!stopped_) run_once();
  stopped_ = false;
}

void LoopBase::run_once() {
  assert(delivering_.empty());
  run_hooks();
  wait(!stopped_ && batch_.empty());
  take_time();
  delivering_.swap(batch_);  // what completes while these run belongs to the next batch
  for (const auto& completion : delivering_) deliver(completion);
  delivering_.clear();
  ++iterations_;
}

void LoopBase::take_time() noexcept {
  set_time(Clock::now(), std::chrono::duration_cast<std::chrono::microseconds>(
                             std::chrono::system_clock::now().time_since_epoch())
                             .count());
}

void LoopBase::deliver(const Completion& completion) {
  auto* request = find(completion.id);
  if (request == nullptr) return;
  auto* operation = request->operation;
  const auto keep_alive = std::move(request->keep_alive);  // until the completion has run
  const int fd = request->fd;
  release(index_of(completion.id));
  close_if_idle(fd);
  if (operation == nullptr) return;
  operation->slot_ = 0;
  // The closure is moved out for the call: the completion may destroy its own operation.
  running_ = operation;
  auto call = std::move(operation->complete_);
  guarded("completion", [&] { call(completion.result); });
  if (running_ != nullptr) running_->complete_ = std::move(call);
  running_ = nullptr;
}

std::uint64_t LoopBase::allocate(Operation& operation, Kind kind, int fd) {
  assert(!operation.pending());
  if (free_.empty()) {
    requests_.emplace_back();
    free_.reserve(requests_.size() * 2);  // so that release() never allocates
    free_.push_back(static_cast<std::uint32_t>(requests_.size() - 1));
  }
  const auto index = free_.back();
  free_.pop_back();
  auto& request = requests_[index];
  request.operation = &operation;
  request.kind = kind;
  request.fd = fd;
  request.in_use = true;
  request.abandoned = request.done = false;
  ++in_use_;
  operation.loop_ = this;
  operation.slot_ = id_of(index);
  return operation.slot_;
}

void LoopBase::release(std::uint32_t index) noexcept {
  auto& request = requests_[index];
  request.in_use = false;
  request.operation = nullptr;
  if (++request.generation == 0) request.generation = 1;  // an id is never 0
  --in_use_;
  free_.push_back(index);
}

std::uint64_t LoopBase::id_of(std::size_t index) const noexcept {
  return std::uint64_t{requests_[index].generation} << 32 | index;
}

LoopBase::Request* LoopBase::find(std::uint64_t id) noexcept {
  const auto index = index_of(id);
  if (index >= requests_.size()) return nullptr;
  auto& request = requests_[index];
  return request.in_use && request.generation == id >> 32 ? &request : nullptr;
}

void LoopBase::complete(std::uint64_t id, int result) {
  if (auto* request = find(id)) {
    request->done = true;
    batch_.push_back({id, result});
  }
}

void LoopBase::drain() noexcept {
  guarded("end of the loop", [this] {
    for (std::size_t index = 0; index < requests_.size(); ++index) {
      auto& request = requests_[index];
      if (!request.in_use) continue;
      if (request.operation != nullptr) {
        request.operation->slot_ = 0;
        request.operation->loop_ = nullptr;
        request.operation = nullptr;
      }
      let_go(id_of(index), request);
    }
    while (in_use_ > 0) {
      wait(batch_.empty());
      delivering_.swap(batch_);
      for (const auto& completion : delivering_) deliver(completion);
      delivering_.clear();
    }
  });
}

}  // namespace smartmeterd::io
