// SPDX-License-Identifier: Apache-2.0
// apply_line_settings, read back through termios2; <termios.h> must stay out of this file.
#include "daemon/io/tty_settings.hpp"

#include <asm/termbits.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace smartmeterd::io {
namespace {

class TtySettings : public testing::Test {
 protected:
  void SetUp() override {
    master_ = posix_openpt(O_RDWR | O_NOCTTY);
    ASSERT_GE(master_, 0);
    ASSERT_EQ(grantpt(master_), 0);
    ASSERT_EQ(unlockpt(master_), 0);
    fd_ = open(ptsname(master_), O_RDWR | O_NOCTTY);
    ASSERT_GE(fd_, 0);
  }
  void TearDown() override {
    close(fd_);
    close(master_);
  }
  termios2 settings() const {
    termios2 now{};
    EXPECT_EQ(ioctl(fd_, TCGETS2, &now), 0);
    return now;
  }
  int master_ = -1, fd_ = -1;
};

TEST_F(TtySettings, AnySpeed) {
  for (unsigned baud : {300u, 2400u, 10400u, 115200u, 921600u}) {
    EXPECT_EQ(apply_line_settings(fd_, {baud, 8, 'E', 1}), "");
    EXPECT_EQ(settings().c_ospeed, baud);
    EXPECT_EQ(settings().c_ispeed, baud);
  }
}

TEST_F(TtySettings, WhatAPseudoTerminalCannotDoIsNoError) {
  EXPECT_EQ(apply_line_settings(fd_, {9600, 7, 'O', 2}), "");
  EXPECT_TRUE(settings().c_cflag & CSTOPB);
  EXPECT_TRUE(settings().c_cflag & PARODD);
}

TEST_F(TtySettings, RawModeWithoutHangUpOnClose) {
  EXPECT_EQ(apply_line_settings(fd_, {2400, 8, 'E', 1}), "");
  const termios2 now = settings();
  EXPECT_EQ(now.c_iflag | now.c_oflag | now.c_lflag, 0u);
  EXPECT_EQ(now.c_cflag & (HUPCL | CRTSCTS), 0u);
  EXPECT_EQ(now.c_cflag & (CREAD | CLOCAL), tcflag_t{CREAD | CLOCAL});
  EXPECT_EQ(now.c_cc[VMIN], 1);
  EXPECT_EQ(now.c_cc[VTIME], 0);
}

TEST_F(TtySettings, NotATerminal) {
  const int fd = open("/dev/null", O_RDWR);
  EXPECT_NE(apply_line_settings(fd, {2400, 8, 'E', 1}).find("Inappropriate ioctl"),
            std::string::npos);
  close(fd);
}

}  // namespace
}  // namespace smartmeterd::io
