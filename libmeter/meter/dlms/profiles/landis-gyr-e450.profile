# SPDX-License-Identifier: Apache-2.0
# Source: RWB E450 manual; captures from Switzerland and of Netz Burgenland.
family Landis+Gyr E450

# Lists of push objects: group B of the push setup object 0-B:25.9.0 says which meter.
push-objects landis-gyr-e450
  channel  8
  channel  9
  channel  11
  scale    energy 1, power 1, voltage 1, current 0.01, power-factor 0.001

# Encrypted list of date-time and pairs, whole W and Wh.
codes landis-gyr-e450-pairs
  list     structure
  begins   date-time
  entries  pairs
  title    LGZ
  scale    energy 1, power 1

# IR, every 5 s, encrypted and authenticated. What the three numbers before the meter's number are
# is not known (400, 3, 288: perhaps angles); some meters leave them out.
positions landis-gyr-burgenland
  meters   Landis+Gyr E450 of Netz Burgenland (IR)
  u16      1-0:32.7.0  V
  u16      1-0:52.7.0  V
  u16      1-0:72.7.0  V
  u16      1-0:31.7.0  0.01 A
  u16      1-0:51.7.0  0.01 A
  u16      1-0:71.7.0  0.01 A
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:1.8.0   Wh
  u32      1-0:2.8.0   Wh
  u16      -
  u16      -
  u16      -
  text     0-0:96.1.0  id

positions landis-gyr-burgenland-short
  meters   Landis+Gyr E450 of Netz Burgenland (IR)
  u16      1-0:32.7.0  V
  u16      1-0:52.7.0  V
  u16      1-0:72.7.0  V
  u16      1-0:31.7.0  0.01 A
  u16      1-0:51.7.0  0.01 A
  u16      1-0:71.7.0  0.01 A
  u32      1-0:1.7.0   W
  u32      1-0:2.7.0   W
  u32      1-0:1.8.0   Wh
  u32      1-0:2.8.0   Wh
  text     0-0:96.1.0  id
