package example;

import static example.Values.*;

import com.google.rpc.ErrorInfo;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import quarry.v1.*;
import quarry.v1.Record; // Not that of java.lang.

/** Ten steps through the sample shop. */
public final class Shop {
  // A new one in every run.
  private static final Value CUSTOMER = integer(ThreadLocalRandom.current().nextLong(1_000_000, 1L << 50));

  private static Key key(int number) {
    return Key.newBuilder().addValues(CUSTOMER).addValues(integer(number)).build();
  }

  private static InsertRequest insert(String table, Record.Builder record) {
    return InsertRequest.newBuilder().setTable(table).setRecord(record).setRequestId(newId()).build();
  }

  private static Record.Builder order(int number, String total) {
    return record(Map.of("customer_id", CUSTOMER, "order_id", integer(number), "total", decimal(total),
        "placed", timestamp(Instant.now())));
  }

  private static UpdateRequest.Builder change(int number, String column, Value value) {
    return UpdateRequest.newBuilder().setTable("orders").setKey(key(number)).setRecord(record(Map.of(column, value)));
  }

  public static void main(String[] arguments) throws Exception {
    try (Client quarry = new Client(System.getenv().getOrDefault("QUARRY_ADDRESS", "localhost:7400"))) {
      run(quarry);
    }
  }

  private static void run(Client quarry) throws Exception {
    List<Shard> shards = quarry.admin.listShards(ListShardsRequest.getDefaultInstance()).getShardsList();
    long up = shards.stream().filter(shard -> shard.getState() == ServerState.SERVER_STATE_UP).count();
    System.out.printf("1 connect: %d of %d shards are up%n", up, shards.size());

    Record.Builder ada = record(Map.of("customer_id", CUSTOMER, "name", text("Ada"), "email", text("ada@example.com"),
        "country", text("GB"), "created", timestamp(Instant.now())));
    InsertResponse customer = quarry.data.insert(insert("customers", ada));
    InsertResponse first = quarry.data.insert(insert("orders", order(1, "19.90")));
    boolean together = customer.getServedBy().getShardsAnswered(0).equals(first.getServedBy().getShardsAnswered(0));
    System.out.printf("2 insert: a customer and an order, on one shard: %b%n", together);

    Record row = quarry.data.get(GetRequest.newBuilder().setTable("orders").setKey(key(1)).build()).getRecord();
    System.out.printf("3 get: order 1 is %s, total %s%n", row.getColumnsOrThrow("status").getTextValue(),
        row.getColumnsOrThrow("total").getDecimalValue());

    BatchWriteRequest.Builder batch = BatchWriteRequest.newBuilder().setRequestId(newId());
    for (int number = 1; number <= 6; ++number) {
      batch.addMutationsBuilder().getInsertBuilder().setTable("orders").setRecord(order(number, "10.00"));
    }
    List<String> refused = new ArrayList<>();
    for (BatchWriteResult result : quarry.data.batchWrite(batch.build()).getResultsList()) {
      if (result.hasError()) refused.add(errorInfo(result.getError()).getReason());
    }
    System.out.printf("4 batch: %d orders written, %d refused: %s%n", 6 - refused.size(), refused.size(),
        String.join(", ", refused));

    ListRequest.Builder list = ListRequest.newBuilder().setTable("orders").setPageSize(2)
        .setFilter("customer_id = @customer AND total < @limit")
        .putParams("customer", CUSTOMER).putParams("limit", decimal("15.00"));
    List<String> pages = new ArrayList<>();
    do {
      ListResponse page = quarry.data.list(list.build());
      pages.add(String.valueOf(page.getRowsCount()));
      list.setPageToken(page.getNextPageToken());
    } while (!list.getPageToken().isEmpty());
    System.out.printf("5 pages: %s orders below 15.00%n", String.join(" + ", pages));

    AggregateRequest.Builder sums = AggregateRequest.newBuilder().setTable("orders")
        .setFilter("customer_id = @customer").putParams("customer", CUSTOMER);
    sums.addAggregatesBuilder().setFunction(AggregateFunction.AGGREGATE_FUNCTION_COUNT);
    sums.addAggregatesBuilder().setFunction(AggregateFunction.AGGREGATE_FUNCTION_SUM).setColumn("total");
    List<Value> totals = quarry.data.aggregate(sums.build()).getRows(0).getValuesList();
    System.out.printf("6 aggregate: %d orders, %s in total%n", totals.get(0).getInt64Value(), totals.get(1).getDecimalValue());

    // Pays order 1 if it still is as it was read, and cancels order 2: both or neither.
    int runs = quarry.runTransaction((transaction, run) -> {
      String etag = quarry.data.get(GetRequest.newBuilder().setTable("orders").setKey(key(1)).build()).getEtag();
      if (run == 1) { // Another writer, just in time to be in the way.
        quarry.data.update(change(1, "total", decimal("24.90")).setRequestId(newId()).build());
      }
      quarry.data.update(change(1, "status", text("paid")).setTransactionId(transaction)
          .setPrecondition(Precondition.newBuilder().setEtag(etag)).build());
      quarry.data.update(change(2, "status", text("cancelled")).setTransactionId(transaction).build());
    });
    System.out.printf("7 transaction: committed in run %d, after ABORTED%n", runs);

    InsertRequest request = insert("orders", order(7, "5.00"));
    quarry.data.insert(request);
    boolean replayed = quarry.data.insert(request).getReplayed(); // As after an answer that was lost.
    System.out.printf("8 exactly once: sent twice, the second answer is a replay: %b%n", replayed);

    try {
      quarry.data.insert(insert("orders", order(7, "5.00")));
    } catch (StatusRuntimeException error) {
      ErrorInfo info = errorInfo(StatusProto.fromThrowable(error));
      System.out.printf("9 error: %s of %s%n", info.getReason(), info.getMetadataOrThrow("constraint"));
    }

    List<Row> items = new ArrayList<>();
    quarry.stream(QueryRequest.newBuilder().setTable("order_items").setFilter("customer_id <= 200"), items::add);
    System.out.printf("10 stream: %d items, %d different%n", items.size(), new HashSet<>(items).size());
  }
}
