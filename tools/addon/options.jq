# SPDX-License-Identifier: Apache-2.0
# The add-on's options, as the Supervisor writes them to /data/options.json, in the words of
# smartmeterd. They are read as a list (--slurp), so that an empty file is noticed. $part:
# "configuration" (smartmeterd.toml), "adapters" (that without a broker), "keys" (keys.d/*.toml),
# "password" (of the broker), "broker" (its address, for people) or "log_level". $service: what the
# Supervisor says of its broker, in a list; $private: the directory of these files.
# It ends with 1 after saying itself what it refuses.
#
# A text is written as JSON, which is TOML as well: TOML knows every escape of JSON that jq writes,
# and jq escapes every control character, U+007F too.

def given: if . == "" then null else . end;
def setting($key; $value): if $value == null then empty else "\($key) = \($value | tojson)" end;
def refuse($option; $problem):
  "add-on: error: the option \($option): \($problem)\n" | halt_error(1);

# The Supervisor sees to the types, but not where people write the file by hand. What jq itself says
# of a wrong one repeats its value.
def kind: {port: "number", tls: "boolean", seed: "boolean"}[.] // "string";
def expect($kind; $option):
  if . == null or type == $kind then . else
    refuse($option; "expected " + {array: "a list", object: "a table", string: "a text",
                                   number: "a number", boolean: "true or false"}[$kind]) end;
def expect_table($option):
  expect("object"; $option) // {} | to_entries[] | .key as $key
  | .value | expect($key | kind; "\($option).\($key)");
def valid:
  . as $options
  | [(.log_level | expect("string"; "log_level")),
     (.mqtt | expect_table("mqtt")),
     (("adapters", "keys") as $option
      | .[$option] | expect("array"; $option) // [] | .[] | expect_table($option))]
  | $options;

# The broker: of the options where they name one, else the Supervisor's.
def broker:
  (.mqtt // {}) as $mqtt
  | if $mqtt.host | given then
      $mqtt
    elif $mqtt.port or $mqtt.tls or ($mqtt.user | given) or ($mqtt.password | given) then
      refuse("mqtt"; "port, tls, user and password are of a broker that host names; " +
                     "give host too, or none of them to take Home Assistant's broker")
    else
      $service[0] | {host, port, tls: .ssl, user: .username, password}
    end;

# Empty where there is none yet.
def address:
  if .host == null then empty else
  (if .host | contains(":") then "[\(.host)]" else .host end) as $host
  | (if .tls then "mqtts" else "mqtt" end) as $scheme
  | "\($scheme)://\($host)" + (if .port then ":\(.port)" else "" end)
  end;

# smartmeterd takes the first line of the file.
def password:
  (.password | given // "")
  | if test("[\u0000\n\r]") then
      refuse("mqtt.password"; "a password of several lines cannot be used")
    else . end;

def broker_table:
  (.mqtt // {}) as $mqtt
  | broker as $broker
  | "[broker.addon]",
    setting("url"; $broker | [address] | first),
    setting("user"; $broker.user | given),
    (if ($broker | password) == "" then empty
     else setting("password_file"; "\($private)/password") end),
    setting("prefix"; $mqtt.prefix | given),
    setting("discovery"; $mqtt.discovery),
    setting("unique_ids"; $mqtt.unique_ids),
    (if $mqtt.seed then setting("profiles"; ["smartmeterd", "seed"]) else empty end);

def adapters:
  [(.adapters // []) | to_entries[]
   | .key as $index | .value | .name = (.name | given // "adapter-\($index + 1)")];

def adapter_tables:
  adapters as $adapters
  | ($adapters | group_by(.name)[] | select(length > 1)
     | refuse("adapters"; "two of them have the name \(.[0].name); give each another one")),
    ($adapters[]
     | "[adapter.\(.name | tojson)]",
       (["device", "tcp", "link", "line", "role"][] as $key | setting($key; .[$key] | given)));

def key_tables:
  (.keys // [])[]
  | "[[key]]", (["meter", "encryption", "authentication"][] as $key
                | setting($key; .[$key] | given));

(if length == 1 and (.[0] | type) == "object" then .[0] else error("no options") end) | valid
| if $part == "configuration" then adapter_tables, broker_table
elif $part == "adapters" then adapter_tables
elif $part == "keys" then key_tables
elif $part == "password" then broker | password
elif $part == "broker" then broker | address
elif $part == "log_level" then .log_level
else error("no such part: \($part)") end
