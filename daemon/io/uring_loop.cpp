// SPDX-License-Identifier: Apache-2.0
// UringLoop: the loop on io_uring.
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "daemon/io/loop_base.hpp"
#include "daemon/log.hpp"

namespace smartmeterd::io {

namespace {

constexpr unsigned submission_entries = 64;
/// A thousand adapters may complete at once; what does not fit is kept by the kernel (NODROP).
constexpr unsigned completion_entries = 4096;
/// READ waits for data without a thread (5.7), positions are the file's own (5.6).
constexpr unsigned features_needed =
    IORING_FEAT_FAST_POLL | IORING_FEAT_RW_CUR_POS | IORING_FEAT_NODROP;
/// The file's own position; terminals and sockets have none.
constexpr std::uint64_t current_position = ~std::uint64_t{0};

/// io_uring walks past seccomp and RestrictAddressFamilies: a ring that can only do what is in use
/// is no way around the sandbox.
constexpr std::array<std::uint8_t, 5> operations_allowed = {
    IORING_OP_READ, IORING_OP_WRITE, IORING_OP_POLL_ADD, IORING_OP_TIMEOUT, IORING_OP_ASYNC_CANCEL};

/// liburing 2.3 declares these two calls, but its shared library does not export them.
int register_call(const io_uring& ring, unsigned operation, const void* argument, unsigned count) {
  const auto result = syscall(__NR_io_uring_register, ring.ring_fd, operation, argument, count);
  return result < 0 ? errno : 0;
}

/// 0 or errno.
int create(io_uring& ring) {
  constexpr std::array<unsigned, 4> attempts = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED,  // 6.1
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,    // 5.19
      IORING_SETUP_R_DISABLED,                                                            // 5.10
      0};
  int result = -EINVAL;
  io_uring_params params;
  for (std::size_t i = 0; i < attempts.size() && result == -EINVAL; ++i) {
    std::memset(&params, 0, sizeof params);
    params.flags = attempts[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = completion_entries;
    result = io_uring_queue_init_params(submission_entries, &ring, &params);
  }
  if (result < 0) return -result;
  if ((params.features & features_needed) != features_needed) {
    io_uring_queue_exit(&ring);
    return EINVAL;
  }
  if ((params.flags & IORING_SETUP_R_DISABLED) == 0) {
    log::warning("io_uring: this kernel cannot restrict the ring to the operations in use");
    return 0;
  }
  std::array<io_uring_restriction, operations_allowed.size()> restrictions{};
  for (std::size_t i = 0; i < restrictions.size(); ++i) {
    restrictions[i].opcode = IORING_RESTRICTION_SQE_OP;
    restrictions[i].sqe_op = operations_allowed[i];
  }
  if (const int error = register_call(ring, IORING_REGISTER_RESTRICTIONS, restrictions.data(),
                                      restrictions.size()))
    log::warning("io_uring: the ring is not restricted to the operations in use: {}",
                 std::strerror(error));
  const int error = register_call(ring, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  if (error != 0) io_uring_queue_exit(&ring);
  return error;
}

}  // namespace

class UringLoop final : public LoopBase {
 public:
  /// Takes over the ring.
  explicit UringLoop(const io_uring& ring) : ring_(ring) {}
  ~UringLoop() override {
    drain();
    io_uring_queue_exit(&ring_);
  }
  std::string_view backend_name() const noexcept override { return "io_uring"; }
  std::string_view reason() const noexcept override { return {}; }

 private:
  void start(std::uint64_t id, Request& request) override {
    auto* entry = next_entry();
    switch (request.kind) {
      case Kind::read:
        io_uring_prep_read(entry, request.fd, request.data, static_cast<unsigned>(request.size),
                           current_position);
        break;
      case Kind::write:
        io_uring_prep_write(entry, request.fd, request.data, static_cast<unsigned>(request.size),
                            current_position);
        break;
      case Kind::poll:
        io_uring_prep_poll_add(entry, request.fd, static_cast<unsigned short>(request.events));
        break;
      case Kind::timer: {
        const auto since = request.deadline.time_since_epoch();
        const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
        request.timespec = {seconds.count(), (since - seconds).count()};
        io_uring_prep_timeout(entry, &request.timespec, 0, IORING_TIMEOUT_ABS);
        break;
      }
    }
    io_uring_sqe_set_data64(entry, id);
  }

  void abandon(std::uint64_t id, Request&) override {
    auto* entry = next_entry();
    io_uring_prep_cancel64(entry, id, 0);
    io_uring_sqe_set_data64(entry, 0);  // its own completion is nobody's
  }

  void wait(bool block) override {
    // -EINTR, -ETIME: nothing happened. -EAGAIN, -EBUSY: reap first, then submit the rest.
    const int result = io_uring_submit_and_wait(&ring_, block ? 1 : 0);
    if (result < 0 && result != -EINTR && result != -ETIME && result != -EAGAIN && result != -EBUSY)
      throw std::system_error(-result, std::generic_category(), "io_uring_submit_and_wait");
    if (!block) io_uring_get_events(&ring_);  // nothing arrives without entering the kernel
    reap();
  }

  void reap() {
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_, head, completion) {
      ++count;
      const auto id = io_uring_cqe_get_data64(completion);
      const auto* request = find(id);
      const bool expired =
          request != nullptr && request->kind == Kind::timer && completion->res == -ETIME;
      complete(id, expired ? 0 : completion->res);
    }
    io_uring_cq_advance(&ring_, count);
  }

  io_uring_sqe* next_entry() {
    auto* entry = io_uring_get_sqe(&ring_);
    while (entry == nullptr) {  // full: pass on what is there
      wait(false);
      entry = io_uring_get_sqe(&ring_);
    }
    return entry;
  }

  io_uring ring_;
};

std::expected<std::unique_ptr<Loop>, int> make_uring_loop() {
  io_uring ring;
  if (const int error = create(ring)) return std::unexpected(error);
  return std::make_unique<UringLoop>(ring);
}

}  // namespace smartmeterd::io
