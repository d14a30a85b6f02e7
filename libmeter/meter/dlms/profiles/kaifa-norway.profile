# SPDX-License-Identifier: Apache-2.0
# Values by position, without codes.
# Source: Kaifa HAN interface description KFM_001; captures of MA105H2E (one phase), MA304H3E (three
# phases without neutral: U2 is sent as 0), MA304H4 and MA304H4D (three phases).
family Kaifa MA105 and MA304 in Norway

# List 1, every 2 s: one number. So little is easily mistaken: only what came through a checksum,
# with the invoke-id and the date-time that these meters send. It names no meter.
positions kaifa-norway-power
  requires   invoke-id 40000000
  requires   date-time
  requires   checksum
  u32        1-0:1.7.0    W

# List 2, every 10 s, and list 3, every hour, with the clock and the energies.
positions kaifa-norway-1-phase
  text       1-0:0.2.129  begins KFM_
  text       0-0:96.1.0   id
  text       0-0:96.1.7
  u32        1-0:1.7.0    W
  u32        1-0:2.7.0    W
  u32        1-0:3.7.0    var
  u32        1-0:4.7.0    var
  u32        1-0:31.7.0   0.001 A
  u32        1-0:32.7.0   0.1 V
  may-end
  date-time  0-0:1.0.0
  u32|u64    1-0:1.8.0    Wh
  u32|u64    1-0:2.8.0    Wh
  u32|u64    1-0:3.8.0    varh
  u32|u64    1-0:4.8.0    varh

positions kaifa-norway
  text       1-0:0.2.129  begins KFM_
  text       0-0:96.1.0   id
  text       0-0:96.1.7
  u32        1-0:1.7.0    W
  u32        1-0:2.7.0    W
  u32        1-0:3.7.0    var
  u32        1-0:4.7.0    var
  u32        1-0:31.7.0   0.001 A
  u32        1-0:51.7.0   0.001 A  optional
  u32        1-0:71.7.0   0.001 A
  u32        1-0:32.7.0   0.1 V
  u32        1-0:52.7.0   0.1 V    optional
  u32        1-0:72.7.0   0.1 V
  may-end
  date-time  0-0:1.0.0
  u32|u64    1-0:1.8.0    Wh
  u32|u64    1-0:2.8.0    Wh
  u32|u64    1-0:3.8.0    varh
  u32|u64    1-0:4.8.0    varh
