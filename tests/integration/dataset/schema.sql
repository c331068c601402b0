-- New York's flights of 2013 with what they refer to. Each statement runs on every shard, PostgreSQL or SQLite.
CREATE TABLE airlines (
  carrier TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL
);
CREATE TABLE airports (
  faa TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  lat DOUBLE PRECISION NOT NULL,
  lon DOUBLE PRECISION NOT NULL,
  alt INT NOT NULL,
  tz SMALLINT NOT NULL,
  dst TEXT NOT NULL,
  tzone TEXT
);
CREATE TABLE planes (
  tailnum TEXT NOT NULL PRIMARY KEY,
  year SMALLINT,
  type TEXT NOT NULL,
  manufacturer TEXT NOT NULL,
  model TEXT NOT NULL,
  engines INT NOT NULL,
  seats INT NOT NULL,
  speed INT,
  engine TEXT NOT NULL
);
CREATE TABLE weather (
  origin TEXT NOT NULL,
  time_hour TIMESTAMPTZ NOT NULL,
  year INT NOT NULL,
  month INT NOT NULL,
  day INT NOT NULL,
  hour INT NOT NULL,
  temp DOUBLE PRECISION,
  dewp DOUBLE PRECISION,
  humid DOUBLE PRECISION,
  wind_dir INT,
  wind_speed DOUBLE PRECISION,
  wind_gust DOUBLE PRECISION,
  precip DOUBLE PRECISION NOT NULL,
  pressure DOUBLE PRECISION,
  visib DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (origin, time_hour)
);
CREATE TABLE flights (
  carrier TEXT NOT NULL REFERENCES airlines (carrier),
  flight INT NOT NULL,
  time_hour TIMESTAMPTZ NOT NULL,
  year INT NOT NULL,
  month INT NOT NULL,
  day INT NOT NULL,
  dep_time INT,
  sched_dep_time INT NOT NULL,
  dep_delay DOUBLE PRECISION,
  arr_time INT,
  sched_arr_time INT NOT NULL,
  arr_delay DOUBLE PRECISION,
  tailnum TEXT,
  origin TEXT NOT NULL,
  dest TEXT NOT NULL,
  air_time DOUBLE PRECISION,
  distance DOUBLE PRECISION NOT NULL,
  hour INT NOT NULL,
  minute INT NOT NULL,
  PRIMARY KEY (carrier, flight, time_hour)
)
