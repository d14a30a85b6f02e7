# SPDX-License-Identifier: Apache-2.0
# Croatia (HEP). The meanings are read from a capture: tariffs add up, the phases' powers add up to
# the total, voltages and currents agree with them. The quadrants' scale and the rest are not known.
family Iskraemeco IE.5 in Croatia

positions iskraemeco-croatia
  text       0-0:96.1.0  id
  octets(4)  -           # time of day
  octets(5)  -           # date
  u32        1-0:1.8.0   Wh
  u32        1-0:1.8.1   Wh
  u32        1-0:1.8.2   Wh
  u32        1-0:2.8.0   Wh
  u32        1-0:2.8.1   Wh
  u32        1-0:2.8.2   Wh
  u32        1-0:5.8.0   ? varh
  u32        1-0:6.8.0   ? varh
  u32        1-0:7.8.0   ? varh
  u32        1-0:8.8.0   ? varh
  u32        1-0:1.7.0   W
  u32        1-0:2.7.0   W
  u16        -           # 889: perhaps the power factor
  u32        1-0:21.7.0  W
  u32        1-0:41.7.0  W
  u32        1-0:61.7.0  W
  u32        1-0:22.7.0  W
  u32        1-0:42.7.0  W
  u32        1-0:62.7.0  W
  u16        1-0:32.7.0  0.1 V
  u16        1-0:52.7.0  0.1 V
  u16        1-0:72.7.0  0.1 V
  u16        1-0:31.7.0  0.01 A
  u16        1-0:51.7.0  0.01 A
  u16        1-0:71.7.0  0.01 A
  u32        -           # 17250: perhaps the limit of the power, W
  list       -           # limits
  list       -
  list       -
  bool       -           # perhaps the breaker
  adds-up    1-0:1.8.0 = 1-0:1.8.1 + 1-0:1.8.2
  adds-up    1-0:2.8.0 = 1-0:2.8.1 + 1-0:2.8.2
