-- Makes hash_vectors.jsonl from a real PostgreSQL 15 server, in an empty database with encoding UTF8:
--   psql -X -q -At -v ON_ERROR_STOP=1 -f make_vectors.sql > hash_vectors.jsonl
-- One JSON object a line, of two kinds. 64-bit numbers are text, as SQL shows them.
--   {"function", "type", "value", "seed", "hash"}: one call of a type's extended hash function.
--   {"types", "values", "modulus", "remainder"}: where satisfies_hash_partition puts a key.
-- A timestamp's value is its microseconds since 1970-01-01 00:00:00; bytes are hexadecimal; the rest is the type's own text.
set client_encoding = 'UTF8';
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set client_min_messages = warning;

create temp table samples (type text, value text);
insert into samples select 'int2', unnest(array['0', '1', '-1', '42', '255', '32767', '-32768']);
insert into samples select 'int4', unnest(array['0', '1', '-1', '42', '65536', '2147483647', '-2147483648']);
insert into samples select 'int8', unnest(array['0', '1', '-1', '42', '-42', '4294967295', '4294967296', '-4294967296',
  '-4294967297', '2147483648', '-2147483649', '1099511627776', '9223372036854775807', '-9223372036854775808']);
insert into samples select 'int8', (i * 7919 - 60000)::text from generate_series(0, 24) i;
insert into samples select 'bool', unnest(array['true', 'false']);
insert into samples select 'text', unnest(array['', 'a', 'ab', 'abc', 'abcd', 'hello world', 'twelve bytes', 'thirteen byte',
  'trailing blank ', ' ', 'Straße', 'naïve café', '日本語のキー', 'emoji 😀🚀', E'line\nbreak\ttab', E'\u0001\u007f',
  'customer-000000000042', repeat('x', 255), repeat('long ', 400), '''; drop table t; --', E'\U0010FFFD', 'é', E'e\u0301']);
insert into samples select 'text', left('The quick brown fox jumps over the lazy dog', i) from generate_series(0, 40) i;
insert into samples select 'varchar', unnest(array['', 'abc', 'varying']);
insert into samples select 'bytea', unnest(array['\x', '\x00', '\x0000', '\xff', '\x0001020304050607', '\xdeadbeef',
  '\x000102030405060708090a0b0c0d0e0f1011', '\x616263']);
insert into samples select 'uuid', unnest(array['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff',
  '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '018f3c6e-8a2b-7c1d-9e3f-0123456789ab', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11']);
insert into samples select 'date', unnest(array['2000-01-01', '1999-12-31', '1970-01-01', '2024-02-29', '2026-01-31', '0001-01-01',
  '9999-12-31', '0044-03-15 BC', '4713-01-01 BC', '5874897-12-31', '1900-03-01', 'infinity', '-infinity', '0001-12-31 BC']);
insert into samples select 'time', unnest(array['00:00:00', '23:59:59.999999', '12:34:56', '12:34:56.7', '24:00:00', '00:00:00.000001']);
insert into samples select kind, value from unnest(array['timestamp', 'timestamptz']) kind,
  unnest(array['2000-01-01 00:00:00', '1970-01-01 00:00:00', '1969-12-31 23:59:59.999999', '2026-01-31 12:34:56.789012',
  '9999-12-31 23:59:59.999999', '0001-01-01 00:00:00', '1999-12-31 23:59:59.999999']) value;
insert into samples select 'numeric', unnest(array['0', '0.0', '0.000', '1', '1.0', '1.00000', '-1', '10', '100', '1000', '10000',
  '100000', '12345', '12345.6789', '-12.340', '0.1', '0.0001', '0.00001', '0.00000001', '99999999', '100000000', '123456789012345678901234567890',
  '-0.000000000000000000000000000001', '9999.9999', '10000.0001', '1.10', '5e20', '1e-20', 'NaN', 'Infinity', '-Infinity',
  repeat('1234567890', 10), repeat('9', 60) || '.' || repeat('9', 40), '40000', '0.4', '4000000000000']);

-- The functions of bytea, boolean and date cannot be called on them in SQL: those types are covered by the partitions below.
create temp table hash_functions (type text, function text);
insert into hash_functions values ('int2', 'hashint2extended'), ('int4', 'hashint4extended'), ('int8', 'hashint8extended'),
  ('text', 'hashtextextended'), ('varchar', 'hashtextextended'), ('uuid', 'uuid_hash_extended'),
  ('time', 'time_hash_extended'), ('timestamp', 'timestamp_hash_extended'), ('timestamptz', 'timestamp_hash_extended'),
  ('numeric', 'hash_numeric_extended');

create function pg_temp.shown(kind text, value text) returns text language plpgsql as $$
declare result text;
begin
  if kind in ('timestamp', 'timestamptz') then
    execute format('select (extract(epoch from $1::%s) * 1000000)::bigint::text', kind) into result using value;
  elsif kind = 'bytea' then
    result := encode(value::bytea, 'hex');
  else
    execute format('select ($1::%s)::text', kind) into result using value;
  end if;
  return result;
end $$;

create function pg_temp.hash_of(function text, kind text, value text, seed bigint) returns text language plpgsql as $$
declare result bigint;
begin
  execute format('select %I($1::%s, $2)', function,
    case kind when 'timestamptz' then 'timestamptz::timestamp' else kind end) into result using value, seed;
  return result::text;
end $$;

-- Where a key goes, asked of a partitioned table that is made for its types.
create function pg_temp.remainder_of(kinds text[], vals text[], modulus int) returns int language plpgsql as $$
declare
  name text := 'keys_' || array_to_string(kinds, '_');
  args text;
  result int;
begin
  if to_regclass('pg_temp.' || name) is null then
    execute format('create temp table %I (%s) partition by hash (%s)', name,
      (select string_agg(format('c%s %s', i, kinds[i]), ', ' order by i) from generate_subscripts(kinds, 1) i),
      (select string_agg('c' || i, ', ' order by i) from generate_subscripts(kinds, 1) i));
  end if;
  select string_agg(format('$1[%s]::%s', i, kinds[i]), ', ' order by i) into args from generate_subscripts(kinds, 1) i;
  execute format('select r from generate_series(0, $2 - 1) r where satisfies_hash_partition(%L::regclass, $2, r, %s)',
    'pg_temp.' || name, args) into strict result using vals, modulus;
  return result;
end $$;

select json_build_object('function', f.function, 'type', s.type, 'value', pg_temp.shown(s.type, s.value), 'seed', seed::text,
                         'hash', pg_temp.hash_of(f.function, s.type, s.value, seed))
from samples s join hash_functions f using (type),
     unnest(array[0, 1, -1, 8816678312871386365]::bigint[]) seed
where s.value not in ('infinity', '-infinity') or s.type = 'numeric'
order by s.type, s.value collate "C", seed;

create temp table keys (types text[], vals text[]);
insert into keys select array[type], array[value] from samples;
insert into keys select array['int8', 'text'], array[n.value, t.value]
  from (select value from samples where type = 'int8' order by value collate "C" limit 12) n,
       unnest(array['', 'a', 'Straße', 'customer-000000000042']) t(value);
insert into keys values
  (array['text', 'text'], array['US', 'CA']), (array['text', 'text'], array['CA', 'US']), (array['text', 'text'], array['', '']),
  (array['text', 'text'], array['DE', null]), (array['text', 'text'], array[null, 'DE']), (array['text', 'text'], array[null, null]),
  (array['uuid', 'int8'], array['6ba7b810-9dad-11d1-80b4-00c04fd430c8', '7']),
  (array['int4', 'int2'], array['7', '-7']),
  (array['date', 'numeric', 'bool'], array['2026-01-31', '12.340', 'true']),
  (array['date', 'numeric', 'bool'], array['1969-07-20', '-0.5', 'false']),
  (array['bytea', 'time'], array['\x00ff00', '12:34:56.789']),
  (array['timestamp', 'timestamptz', 'varchar'], array['2026-01-31 12:00:00', '2026-01-31 12:00:00', 'abc']),
  (array['int8', 'int8', 'int8', 'int8'], array['1', '2', '3', '4']);

select json_build_object('types', k.types,
    'values', (select json_agg(pg_temp.shown(k.types[i], k.vals[i]) order by i) from generate_subscripts(k.types, 1) i),
    'modulus', modulus, 'remainder', pg_temp.remainder_of(k.types, k.vals, modulus))
from keys k, unnest(array[1, 2, 3, 4, 7, 8, 64, 1000, 4096]) modulus
order by k.types, k.vals collate "C", modulus;
