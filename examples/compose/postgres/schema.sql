-- The same tables on every shard.
SET ROLE quarry;

CREATE TABLE customers (
  customer_id bigint PRIMARY KEY,
  name text NOT NULL,
  country text
);
CREATE TABLE orders (
  customer_id bigint REFERENCES customers,
  order_id bigint,
  total numeric(12, 2) NOT NULL CHECK (total >= 0),
  placed timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (customer_id, order_id)
);
CREATE TABLE countries (code text PRIMARY KEY, name text NOT NULL);

-- What quarry-load reads and writes.
CREATE TABLE usertable (id bigint PRIMARY KEY, balance bigint NOT NULL, payload text NOT NULL);
