-- The sample shop, for SQLite shards. The same statements run on every shard.
CREATE TABLE IF NOT EXISTS customers (
  customer_id BIGINT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  country TEXT NOT NULL,
  created TIMESTAMPTZ NOT NULL
);
CREATE TABLE IF NOT EXISTS products (
  product_id BIGINT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  price DECIMAL_TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
  customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
  order_id BIGINT NOT NULL,
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'shipped', 'cancelled')),
  total DECIMAL_TEXT NOT NULL,
  placed TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (customer_id, order_id)
);
CREATE TABLE IF NOT EXISTS order_items (
  customer_id BIGINT NOT NULL,
  order_id BIGINT NOT NULL,
  line BIGINT NOT NULL,
  product_id BIGINT NOT NULL REFERENCES products (product_id),
  quantity INT NOT NULL CHECK (quantity > 0),
  price DECIMAL_TEXT NOT NULL,
  PRIMARY KEY (customer_id, order_id, line),
  FOREIGN KEY (customer_id, order_id) REFERENCES orders (customer_id, order_id) ON DELETE CASCADE
);
CREATE TABLE IF NOT EXISTS settings (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);
