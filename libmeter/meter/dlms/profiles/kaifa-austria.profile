# SPDX-License-Identifier: Apache-2.0
# Kaifa and Sagemcom of the Austrian grid operators. All but the last carry code, value, scaler and
# unit: nothing to know but their names.
family Kaifa in Austria

# Operator's specification "Kundenschnittstelle" and its example telegram.
codes evn-netz-noe
  meters   Kaifa MA110/MA309 and Sagemcom T210-D of EVN Netz NÖ
  list     structure
  begins   date-time
  entries  flat

# Specifications of Salzburg Netz, TINETZ and Vorarlberg (VKW); captures of all three.
codes kaifa-at
  meters   Kaifa MA120/MA309 of TINETZ, VKW and Salzburg Netz
  list     structure
  begins   code
  entries  nested

# IDIS customer interface of Netz Burgenland over IR, every 15 s: operator's table. The values are
# in the units of the same meter's other lists; no capture is known.
positions kaifa-burgenland
  meters     Kaifa MA309 of Netz Burgenland (IR)
  date-time  0-0:1.0.0
  text       0-0:42.0.0  id
  u32        1-0:1.8.0   Wh
  u32        1-0:2.8.0   Wh
  u32        1-0:1.7.0   W
  u32        1-0:2.7.0   W
  u32        1-0:3.8.0   varh
  u32        1-0:4.8.0   varh
