# SPDX-License-Identifier: Apache-2.0
# IR, every second, encrypted: date-time and eight numbers.
# Source: the operator's description; published telegrams of AM550, IM150/IM350/IM351 and E450.
family Iskraemeco AM550, Siemens IM150/IM350/IM351, Landis+Gyr E450 of Wiener Netze

positions wiener-netze
  date-time  0-0:1.0.0
  u32        1-0:1.8.0  Wh
  u32        1-0:2.8.0  Wh
  u32        1-0:3.8.0  varh
  u32        1-0:4.8.0  varh
  u32        1-0:1.7.0  W
  u32        1-0:2.7.0  W
  u32        1-0:3.7.0  var
  u32        1-0:4.7.0  var
