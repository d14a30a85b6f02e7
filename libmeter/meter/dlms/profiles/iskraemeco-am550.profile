# SPDX-License-Identifier: Apache-2.0
# Source: captures from Austria and of the Slovenian operators (Elektro Ljubljana, Elektro Celje).
family Iskraemeco AM550

# Austria (also Kärnten Netz): entries with scaler and unit, nothing to know but the name.
codes structure-of-entries
  meters   Iskraemeco AM550, Kaifa MA309 (TINETZ)
  list     structure
  begins   entry
  entries  nested

# Slovenia. A meter of Elektro Ljubljana sends one list every few seconds and another every quarter
# of an hour, and does not name itself alike in both: "ISK1020784605887" and "ISK84605887" here,
# "84605887" there. Its id is always the second form.
positions iskraemeco-slovenia
  meters   Iskraemeco AM550 in Slovenia, three phases
  text     0-0:42.0.0  begins ISK
  text     0-0:96.1.2  begins ISK  id
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:3.7.0   var
  u32      1-0:4.7.0   var
  u16      1-0:32.7.0  0.1 V
  u16      1-0:52.7.0  0.1 V
  u16      1-0:72.7.0  0.1 V
  u16      1-0:31.7.0  0.01 A
  u16      1-0:51.7.0  0.01 A
  u16      1-0:71.7.0  0.01 A
  u32      1-0:21.7.0  W
  u32      1-0:41.7.0  W
  u32      1-0:61.7.0  W
  u32      1-0:22.7.0  W
  u32      1-0:42.7.0  W
  u32      1-0:62.7.0  W

# The same with a number of the list instead of the meter's short name …
positions iskraemeco-slovenia-16820005
  meters   Iskraemeco AM550 in Slovenia, three phases
  text     0-0:42.0.0  begins ISK  id
  text     0-0:96.1.2  begins 1682
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:3.7.0   var
  u32      1-0:4.7.0   var
  u16      1-0:32.7.0  0.1 V
  u16      1-0:52.7.0  0.1 V
  u16      1-0:72.7.0  0.1 V
  u16      1-0:31.7.0  0.01 A
  u16      1-0:51.7.0  0.01 A
  u16      1-0:71.7.0  0.01 A
  u32      1-0:21.7.0  W
  u32      1-0:41.7.0  W
  u32      1-0:61.7.0  W
  u32      1-0:22.7.0  W
  u32      1-0:42.7.0  W
  u32      1-0:62.7.0  W

# … and its energies, with breaker and tariff.
positions iskraemeco-slovenia-16820006
  meters     Iskraemeco AM550 in Slovenia: energies
  text       0-0:42.0.0   begins ISK  id
  text       0-0:96.1.2   begins 1682
  enum       0-0:96.3.10
  octets(2)  0-0:96.14.0  number
  u32        1-0:1.8.0    Wh
  u32        1-0:1.8.1    Wh
  u32        1-0:1.8.2    Wh
  u32        1-0:2.8.0    Wh
  u32        1-0:2.8.1    Wh
  u32        1-0:2.8.2    Wh
  u32        1-0:3.8.0    varh
  u32        1-0:4.8.0    varh
  adds-up    1-0:1.8.0 = 1-0:1.8.1 + 1-0:1.8.2
  adds-up    1-0:2.8.0 = 1-0:2.8.1 + 1-0:2.8.2

positions iskraemeco-celje
  meters   Iskraemeco AM550 of Elektro Celje, three phases
  text     0-0:42.0.0  begins ISK  id
  text     0-0:96.1.2  begins UP_3f
  u16      1-0:32.7.0  0.1 V
  u16      1-0:52.7.0  0.1 V
  u16      1-0:72.7.0  0.1 V
  u16      1-0:31.7.0  0.01 A
  u16      1-0:51.7.0  0.01 A
  u16      1-0:71.7.0  0.01 A
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:3.7.0   var
  u32      1-0:4.7.0   var

positions iskraemeco-slovenia-1-phase
  meters   Iskraemeco AM550 in Slovenia, one phase
  text     0-0:42.0.0  begins ISK
  text     0-0:96.1.2  begins ISK  id
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:3.7.0   var
  u32      1-0:4.7.0   var
  u16      1-0:32.7.0  0.1 V
  u16      1-0:31.7.0  0.01 A
  u32      1-0:21.7.0  W
  u32      1-0:22.7.0  W

positions iskraemeco-slovenia-1-phase-no-current
  meters   Iskraemeco AM550 in Slovenia, one phase
  text     0-0:42.0.0  begins ISK
  text     0-0:96.1.2  begins ISK  id
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:3.7.0   var
  u32      1-0:4.7.0   var
  u16      1-0:32.7.0  0.1 V
  u32      1-0:21.7.0  W
  u32      1-0:22.7.0  W

positions iskraemeco-slovenia-tariffs
  meters   Iskraemeco AM550 in Slovenia: power and tariffs
  text     0-0:42.0.0  begins ISK  id ISK+8
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:1.8.0   Wh
  u32      1-0:1.8.1   Wh
  u32      1-0:1.8.2   Wh
  u32      1-0:2.8.0   Wh
  u32      1-0:2.8.1   Wh
  u32      1-0:2.8.2   Wh
  adds-up  1-0:1.8.0 = 1-0:1.8.1 + 1-0:1.8.2
  adds-up  1-0:2.8.0 = 1-0:2.8.1 + 1-0:2.8.2

positions iskraemeco-slovenia-energy
  meters   Iskraemeco AM550 in Slovenia: energies
  text     0-0:96.1.0   id ISK+8
  u8       0-0:96.14.0
  u32      1-0:1.8.0    Wh
  u32      1-0:2.8.0    Wh
